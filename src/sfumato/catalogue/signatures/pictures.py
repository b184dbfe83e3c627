"""The signatures of networks that work on finished pictures (upscalers, face restorers …)."""

from __future__ import annotations

from sfumato.catalogue.signatures.signature import Signature, Size

WRAPPED = ("", "params_ema.", "params.", "module.", "netG.", "state_dict.")
"""what training frameworks put before every key"""

_SRVGG = {3 * scale * scale: f"×{scale}" for scale in (1, 2, 3, 4, 8)}
"""output channels of a network that ends in a pixel shuffle → scale"""

_SHUFFLE = (("upsample.4.weight", "×8"), ("upsample.2.weight", "×4"), ("conv_up2.weight", "×4"))
_ONE_SHUFFLE = Size(("upsample.0.weight",), 0, {**_SRVGG, 256: "×2", 576: "×3"})
"""one pixel shuffle per doubling, 64 channels wide, or straight from the last layer"""

_SWIN = "layers.0.residual_group.blocks.0.norm1.weight"

FACES: tuple[Signature, ...] = (
    Signature(
        "face-restorer", "GFPGAN", ("stylegan_decoder.style_mlp.1.weight", "toRGB.0.weight"),
        variant="gfpgan", prefixes=WRAPPED,
    ),
    Signature(
        "face-restorer", "GFPGAN (first version)",
        ("stylegan_decoder.style_mlp.1.weight",), variant="gfpgan", prefixes=WRAPPED,
    ),
    Signature(
        "face-restorer", "CodeFormer",
        ("position_emb", "quantize.embedding.weight", "idx_pred_layer.1.weight",
         "encoder.blocks.0.weight"),
        variant="codeformer", prefixes=WRAPPED,
    ),
    Signature(
        "face-restorer", "GPEN", ("generator.style.1.weight", "final_linear.0.weight"),
        any_of=("ecd0.0.0.weight", "ecd0.0.weight", "ecd0.*"), variant="gpen", prefixes=WRAPPED,
    ),
)  # fmt: skip

_VQ = ("quantize.embedding.weight", "encoder.down.0.block.0.norm1.weight")

VECTOR_QUANTISED: tuple[Signature, ...] = (
    *(
        Signature(
            "vae", "VQ autoencoder", _VQ, wants=(("quantize.embedding.weight", 1, channels),),
            variant="vq", prefixes=("", "first_stage_model."),
        )
        for channels in (3, 4, 8)
    ),
    Signature(
        "face-restorer", "RestoreFormer (a VQGAN of 256 channels has the same layout)", _VQ,
        variant="restoreformer", prefixes=(*WRAPPED, "vqvae."),
    ),
)  # fmt: skip
"""both have a VAE's keys and a codebook; latent diffusion's codebooks have few channels"""

TRANSFORMERS: tuple[Signature, ...] = (
    Signature(
        "upscaler", "HAT upscaler", (_SWIN,),
        any_of=("relative_position_index_SA", "*conv_block.cab.3.attention.1.weight"),
        variant="hat", prefixes=WRAPPED, steps=_SHUFFLE, scale=_ONE_SHUFFLE,
    ),
    Signature(
        "upscaler", "DAT upscaler", ("before_RG.1.weight",),
        any_of=("*attn.attns.0.rpe_biases", "layers.0.blocks.0.*"), variant="dat",
        prefixes=WRAPPED, steps=_SHUFFLE, scale=_ONE_SHUFFLE,
    ),
    Signature(
        "upscaler", "Swin2SR upscaler",
        (_SWIN, "conv_first.weight", "patch_embed.proj.weight"), variant="swin2sr",
        prefixes=WRAPPED, steps=_SHUFFLE, scale=_ONE_SHUFFLE,
    ),
    Signature(
        "upscaler", "SwinIR upscaler", (_SWIN, "conv_first.weight"), variant="swinir",
        prefixes=WRAPPED, steps=_SHUFFLE, scale=_ONE_SHUFFLE,
    ),
    Signature(
        "upscaler", "OmniSR upscaler", ("residual_layer.0.residual_layer.0.layer.0.fn.0.weight",),
        variant="omnisr", prefixes=WRAPPED, scale=Size(("up.0.weight",), 0, _SRVGG),
    ),
)  # fmt: skip

_OLD = tuple(
    (f"model.{last}.weight", f"×{scale}")
    for last, scale in ((16, 16), (13, 8), (10, 4), (7, 2), (4, 1))
)
"""xinntao's first layout numbers its layers through: three more for each doubling"""

_LAST = tuple(f"body.{index}.weight" for index in range(140, 4, -2))

CONVOLUTIONS: tuple[Signature, ...] = (
    Signature(
        "upscaler", "ESRGAN+ upscaler", ("model.1.sub.0.RDB1.conv1x1.weight", "model.0.weight"),
        variant="esrgan+", prefixes=WRAPPED, steps=_OLD,
    ),
    Signature(
        "upscaler", "ESRGAN upscaler", ("model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"),
        variant="esrgan", prefixes=WRAPPED, steps=_OLD,
    ),
    Signature(
        "upscaler", "ESRGAN upscaler (Real-ESRGAN anime, 6 blocks)",
        ("conv_first.weight", "body.5.rdb1.conv1.weight", "conv_body.weight"),
        none_of=("body.6.rdb1.conv1.weight",), variant="real-esrgan-6b", prefixes=WRAPPED,
        scale=Size(("conv_first.weight",), 1, {3: "×4", 12: "×2", 48: "×1"}),
    ),
    Signature(
        "upscaler", "ESRGAN upscaler (Real-ESRGAN)",
        ("conv_first.weight", "body.0.rdb1.conv1.weight", "conv_body.weight"),
        variant="real-esrgan", prefixes=WRAPPED,
        scale=Size(("conv_first.weight",), 1, {3: "×4", 12: "×2", 48: "×1"}),
    ),
    Signature(
        "upscaler", "ESRGAN upscaler (BSRGAN, RealSR)",
        ("conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight"), variant="bsrgan",
        prefixes=WRAPPED, steps=(("upconv2.weight", "×4"), ("upconv1.weight", "×2")),
    ),
    Signature(
        "upscaler", "Compact upscaler (SRVGG, Real-ESRGAN general)",
        ("body.0.weight", "body.1.weight"), none_of=("conv_first.weight", "conv_in.weight"),
        variant="compact", prefixes=WRAPPED, scale=Size(_LAST, 0, _SRVGG),
    ),
    Signature(
        "upscaler", "SPAN upscaler", ("block_1.c1_r.eval_conv.weight",), variant="span",
        prefixes=WRAPPED, scale=Size(("upsampler.0.weight",), 0, _SRVGG),
    ),
    Signature(
        "upscaler", "PLKSR upscaler", ("feats.1.lk.conv.weight",), variant="plksr",
        prefixes=WRAPPED,
    ),
    Signature(
        "upscaler", "RealCUGAN upscaler", ("unet1.conv1.conv.0.weight",), variant="realcugan",
        prefixes=WRAPPED,
    ),
    Signature(
        "denoiser", "SCUNet denoiser", ("m_head.0.weight", "m_tail.0.weight"), variant="scunet",
        prefixes=WRAPPED,
    ),
    Signature(
        "inpainter", "LaMa inpainter", ("generator.model.1.bn_l.running_mean",), variant="lama",
        prefixes=WRAPPED,
    ),
    Signature(
        "inpainter", "LaMa inpainter", ("model.1.bn_l.running_mean",), variant="lama",
        prefixes=(*WRAPPED, "generator."),
    ),
)  # fmt: skip

PICTURES: tuple[Signature, ...] = (*FACES, *VECTOR_QUANTISED, *TRANSFORMERS, *CONVOLUTIONS)
"""in the order in which they are asked: false friends (a VQ network has a VAE's keys) come first"""
