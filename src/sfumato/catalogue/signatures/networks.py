"""The signatures of single networks (vision towers, T5, small VAEs …)."""

from __future__ import annotations

from sfumato.catalogue.signatures.signature import Signature, Size

_PATCHES = "vision_model.embeddings.patch_embedding.weight"
_TOWERS = ("", "image_encoder.", "clip_vision.")


def _tower(title: str, width: int, **more: str) -> tuple[Signature, Signature]:
    """One size of vision tower in both spellings."""
    variant = more.get("variant", "")
    return (
        Signature(
            "clip-vision", f"{title} vision tower", (_PATCHES,), wants=((_PATCHES, 0, width),),
            none_of=("text_model.*",), variant=variant, prefixes=_TOWERS,
        ),
        Signature(
            "clip-vision", f"{title} vision tower",
            ("visual.conv1.weight", "visual.transformer.resblocks.*"),
            none_of=("transformer.resblocks.*",), variant=variant,
            wants=(("visual.conv1.weight", 0, width),), prefixes=("", "model."),
        ),
    )  # fmt: skip


VISION: tuple[Signature, ...] = (
    Signature(
        "clip-vision", "CLIP-L vision tower (336 px)", (_PATCHES,), none_of=("text_model.*",),
        wants=((_PATCHES, 0, 1024), ("vision_model.embeddings.position_embedding.weight", 0, 577)),
        variant="l-336",
    ),
    *_tower("CLIP-L", 1024, variant="l"),
    *_tower("CLIP-H", 1280, variant="h"),
    *_tower("CLIP-bigG", 1664, variant="bigg"),
    *_tower("SigLIP", 1152, variant="siglip"),
    *_tower("CLIP-B", 768, variant="b"),
    Signature("clip-vision", "CLIP (text and vision)", (_PATCHES, "text_model.*")),
    Signature(
        "clip-vision", "OpenCLIP (text and vision)",
        ("visual.conv1.weight", "transformer.resblocks.0.ln_1.weight"),
    ),
)  # fmt: skip

_T5_PREFIXES = (
    "", "transformer.", "t5xxl.transformer.", "text_encoders.t5xxl.transformer.", "text_encoder_3.",
)  # fmt: skip
_SELF = "encoder.block.0.layer.0.SelfAttention.k.weight"
_GATED = "encoder.block.0.layer.1.DenseReluDense.wi_1.weight"
_PLAIN = "encoder.block.0.layer.1.DenseReluDense.wi.weight"

T5S: tuple[Signature, ...] = (
    Signature(
        "text-encoder", "T5 v1.1 XXL text encoder", (_SELF, _GATED), variant="t5-xxl",
        family="sd3/flux", wants=((_GATED, 1, 4096),), prefixes=_T5_PREFIXES,
    ),
    Signature(
        "text-encoder", "T5 v1.1 XL text encoder", (_SELF, _GATED), variant="t5-xl",
        wants=((_GATED, 1, 2048),), prefixes=_T5_PREFIXES,
    ),
    Signature(
        "text-encoder", "ByT5 small text encoder", (_SELF,), variant="byt5-small",
        wants=((_SELF, 0, 384),), prefixes=_T5_PREFIXES,
    ),
    Signature(
        "text-encoder", "T5 text encoder (first version)", (_SELF, _PLAIN), variant="t5-old",
        prefixes=_T5_PREFIXES,
    ),
    Signature("text-encoder", "T5 text encoder", (_SELF,), variant="t5", prefixes=_T5_PREFIXES),
)  # fmt: skip

_TINY_FAMILY = {4: "sd1/sdxl", 16: "sd3/flux", 32: "flux2"}

TINY: tuple[Signature, ...] = (
    Signature(
        "vae", "TAEF2 decoder", ("1.weight", "3.conv.0.weight", "19.weight"),
        variant="tae-decoder", wants=(("1.weight", 1, 32), ("19.weight", 0, 3)), family="flux2",
        prefixes=("", "taesd_decoder."),
    ),
    Signature(
        "vae", "TAESD decoder", ("1.weight", "3.conv.0.weight", "19.weight"),
        variant="tae-decoder", wants=(("19.weight", 0, 3),), prefixes=("", "taesd_decoder."),
        tells=Size(("1.weight",), 1, _TINY_FAMILY),
    ),
    Signature(
        "vae", "TAESD encoder", ("0.weight", "1.conv.0.weight", "14.weight"),
        variant="tae-encoder", wants=(("0.weight", 1, 3),), prefixes=("", "taesd_encoder."),
        tells=Size(("14.weight",), 0, _TINY_FAMILY),
    ),
    Signature(
        "vae", "TAESD", ("encoder.layers.0.weight", "decoder.layers.0.weight"),
        variant="tae", tells=Size(("decoder.layers.0.weight",), 1, _TINY_FAMILY),
        prefixes=("", "vae."),
    ),
    Signature(
        "vae", "TAESD", ("encoder.0.weight", "decoder.1.weight", "decoder.3.conv.0.weight"),
        variant="tae", tells=Size(("decoder.1.weight",), 1, _TINY_FAMILY),
        prefixes=("", "taesd.", "first_stage_model."),
    ),
    Signature(
        "vae", "VAE-approx", ("conv1.weight", "conv2.weight", "conv8.weight"),
        wants=(("conv1.weight", 2, 7),), variant="approx",
        tells=Size(("conv1.weight",), 1, _TINY_FAMILY),
    ),
)  # fmt: skip

CASCADE: tuple[Signature, ...] = (
    Signature(
        "vae", "Stable Cascade stage A", ("vquantizer.codebook.weight",), family="cascade",
        prefixes=("", "vqgan.", "vae."),
    ),
    Signature(
        "unet", "Stable Cascade stage C", ("clip_txt_mapper.weight",), family="cascade",
        prefixes=("", "model.diffusion_model."), variant="stage-c",
    ),
    Signature(
        "unet", "Stable Cascade stage B", ("effnet_mapper.0.weight",), family="cascade",
        prefixes=("", "model.diffusion_model."), variant="stage-b",
    ),
    Signature(
        "vae", "Stable Cascade effnet encoder", ("mapper.0.weight", "backbone.*"), family="cascade",
        prefixes=("", "encoder."),
    ),
)  # fmt: skip

HEADS: tuple[Signature, ...] = (
    Signature(
        "aesthetic-predictor", "LAION aesthetic predictor", ("layers.0.weight",),
        wants=(("layers.0.weight", 0, 1024), ("layers.0.weight", 1, 768)),
    ),
    Signature(
        "aesthetic-predictor", "LAION aesthetic predictor (one layer)", ("weight", "bias"),
        wants=(("weight", 0, 1), ("weight", 1, 768)),
    ),
    Signature(
        "interrogator", "BLIP captioner",
        ("visual_encoder.patch_embed.proj.weight", "text_decoder.*"),
    ),
    Signature(
        "interrogator", "DeepDanbooru tagger", ("n_Conv_0.weight",), any_of=("n_Conv_1.weight",)
    ),
)  # fmt: skip

NETWORKS: tuple[Signature, ...] = (*VISION, *T5S, *TINY, *CASCADE, *HEADS)
"""in the order in which they are asked"""
