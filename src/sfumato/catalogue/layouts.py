"""Every way in which every sort of network is spelled in files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from sfumato.catalogue import families
from sfumato.catalogue.component import Layout
from sfumato.catalogue.sizes.hyperparameters import (
    read_clip,
    read_openclip,
    read_unet,
    read_unet_diffusers,
    read_vae,
    read_vae_diffusers,
)
from sfumato.catalogue.sizes.small import (
    read_adapter,
    read_adapter_diffusers,
    read_approx,
    read_control,
    read_control_diffusers,
    read_tiny,
    read_tiny_diffusers,
    read_tiny_half,
)
from sfumato.catalogue.sizes.transformers import (
    read_flux,
    read_flux_diffusers,
    read_sd3,
    read_sd3_diffusers,
    read_t5,
    read_vision,
    read_visual,
)
from sfumato.catalogue.spelling.networks import squared, unet_names, vae_names
from sfumato.catalogue.trees.control import (
    Adapter,
    ControlNet,
    adapter_diffusers_shapes,
    adapter_shapes,
    control_diffusers_shapes,
    control_shapes,
)
from sfumato.catalogue.trees.dit import (
    SD3,
    Flux,
    flux_diffusers_shapes,
    flux_shapes,
    sd3_diffusers_shapes,
    sd3_shapes,
)
from sfumato.catalogue.trees.shapes import Shape, Shapes
from sfumato.catalogue.trees.text import T5, Text, clip_shapes, openclip_shapes, t5_shapes
from sfumato.catalogue.trees.tiny_vae import (
    ApproxVAE,
    TinyVAE,
    approx_shapes,
    tiny_diffusers_shapes,
    tiny_half_shapes,
    tiny_shapes,
)
from sfumato.catalogue.trees.unet import UNet, unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from sfumato.catalogue.trees.vision import Vision, vision_shapes, visual_shapes

AnyLayout = (
    Layout[UNet]
    | Layout[VAE]
    | Layout[TinyVAE]
    | Layout[ApproxVAE]
    | Layout[Text]
    | Layout[T5]
    | Layout[SD3]
    | Layout[Flux]
    | Layout[Vision]
    | Layout[ControlNet]
    | Layout[Adapter]
)


@lru_cache(maxsize=64)
def unet_diffusers_shapes(unet: UNet) -> Shapes:
    """Every key of `unet` in the spelling of diffusers."""
    names = unet_names(unet)
    return {names[name]: shape for name, shape in unet_shapes(unet).items()}


@lru_cache(maxsize=16)
def vae_diffusers_shapes(vae: VAE) -> Shapes:
    """Every key of `vae` in the spelling of diffusers from 0.17 on."""
    names = vae_names(vae)
    return {names[name]: squared(shape, name) for name, shape in vae_shapes(vae).items()}


@lru_cache(maxsize=16)
def vae_old_diffusers_shapes(vae: VAE) -> Shapes:
    """Every key of `vae` in the spelling of diffusers up to 0.16."""
    names = vae_names(vae, old=True)
    return {names[name]: squared(shape, name) for name, shape in vae_shapes(vae).items()}


@lru_cache(maxsize=16)
def bare_clip_shapes(text: Text) -> Shapes:
    """The spelling of transformers before `text_model.` was put in front (NovelAI's files)."""
    cut = len("text_model.")
    whole = clip_shapes(text)
    return {n[cut:]: s for n, s in whole.items() if n.startswith("text_model.")}


def _read_bare_clip(shapes: Shapes) -> Text | None:
    return read_clip({f"text_model.{name}": shape for name, shape in shapes.items()})


def _unet_optional(inner: str) -> Callable[[UNet], Shapes]:
    def optional(unet: UNet) -> Shapes:
        """LCM feeds the guidance scale into the time embedding; 256 numbers wide."""
        return {inner: (unet.widths[0], 256)}

    return optional


def _clip_optional(prefix: str) -> Callable[[Text], Shapes]:
    def optional(text: Text) -> Shapes:
        return {f"{prefix}embeddings.position_ids": (1, text.positions)}

    return optional


def _openclip_optional(text: Text) -> Shapes:
    """A mask that old OpenCLIP stored, and a stray key of Waifu Diffusion 1.4."""
    stray = "transformer.text_model.embeddings.position_ids"
    found: dict[str, Shape] = {"attn_mask": (text.positions,) * 2, stray: (1, text.positions)}
    if not text.projection:
        found |= {"logit_scale": ()}
    return found


def _clip_spare(text: Text, prefix: str) -> frozenset[str]:
    """SDXL looks at the last layer but one: some of its files lack what comes after."""
    if not prefix.startswith("conditioner."):
        return frozenset()
    last = f"text_model.encoder.layers.{text.layers - 1}."
    after = (last, "text_model.final_layer_norm.")
    return frozenset(name for name in clip_shapes(text) if name.startswith(after))


def _openclip_spare(text: Text, prefix: str) -> frozenset[str]:
    """SD2 and SDXL look at the last layer but one; the rest serves only bigG's pooled output."""
    last = f"transformer.resblocks.{text.layers - 1}."
    after = (last, "ln_final.", "text_projection", "logit_scale")
    found = frozenset(name for name in openclip_shapes(text) if name.startswith(after))
    # SD2 normalises after the last layer but one, so that norm is needed there.
    wanted = ("ln_final.weight", "ln_final.bias")
    return found if prefix.startswith("conditioner.") else found.difference(wanted)


def _t5_optional(t5: T5) -> Shapes:
    return {"encoder.embed_tokens.weight": (t5.vocabulary, t5.width)}


def _t5_spare(t5: T5, prefix: str) -> frozenset[str]:
    """The embedding is stored as `shared`, as `encoder.embed_tokens`, or as both."""
    return frozenset({"shared.weight"})


def _vision_optional(vision: Vision) -> Shapes:
    return {"vision_model.embeddings.position_ids": (1, vision.positions)}


_NO_UNET = (
    "zero_convs.0.0.weight",
    "input_hint_block.0.weight",
    "input_blocks.1.0.time_stack.in_layers.2.weight",
)
_NO_VAE = (
    "quantize.embedding.weight",
    "decoder.mid.block_1.mix_factor",
    "encoder.down.0.attn.0.q.weight",
)

UNET_LDM = Layout(
    "unet-ldm", "unet", "UNet", "ldm",
    ("input_blocks.0.0.weight", "time_embed.0.weight", "out.2.weight"),
    read_unet, unet_shapes, families.UNETS, _NO_UNET,
    _unet_optional("time_embed.cond_proj.weight"),
)  # fmt: skip
UNET_DIFFUSERS = Layout(
    "unet-diffusers", "unet", "UNet", "diffusers",
    ("time_embedding.linear_1.weight", "up_blocks.0.resnets.0.time_emb_proj.weight"),
    read_unet_diffusers, unet_diffusers_shapes, families.UNETS,
    ("controlnet_cond_embedding.conv_in.weight",),
    _unet_optional("time_embedding.cond_proj.weight"),
)  # fmt: skip
_VAE_ANCHORS = ("decoder.mid.block_1.conv1.weight", "encoder.mid.block_1.conv1.weight")
VAE_LDM = Layout(
    "vae-ldm", "vae", "VAE", "ldm", _VAE_ANCHORS,
    read_vae, vae_shapes, families.VAES, _NO_VAE,
)  # fmt: skip
VAE_DIFFUSERS = Layout(
    "vae-diffusers", "vae", "VAE", "diffusers",
    ("decoder.mid_block.resnets.0.conv1.weight", "encoder.mid_block.resnets.0.conv1.weight"),
    read_vae_diffusers, vae_diffusers_shapes, families.VAES,
    (
        "decoder.mid_block.attentions.0.query.weight",
        "encoder.mid_block.attentions.0.query.weight",
        "quantize.embedding.weight",
        "decoder.mid_block.resnets.0.spatial_res_block.conv1.weight",
    ),
)  # fmt: skip
VAE_OLD_DIFFUSERS = replace(
    VAE_DIFFUSERS,
    name="vae-diffusers-old",
    anchors=VAE_DIFFUSERS.vetoes[:2],
    build=vae_old_diffusers_shapes,
    vetoes=VAE_DIFFUSERS.vetoes[2:],
)
TINY = Layout(
    "taesd", "vae", "TAESD", "taesd", ("encoder.14.weight", "decoder.19.weight"),
    read_tiny, tiny_shapes, families.TINY_VAES,
)  # fmt: skip
TINY_DIFFUSERS = Layout(
    "taesd-diffusers", "vae", "TAESD", "diffusers",
    ("encoder.layers.14.weight", "decoder.layers.18.weight"),
    read_tiny_diffusers, tiny_diffusers_shapes, families.TINY_VAES,
)  # fmt: skip
TINY_HALF = Layout(
    "taesd-half", "vae", "TAESD", "taesd", ("14.weight", "19.weight"),
    read_tiny_half, tiny_half_shapes, families.TINY_VAES,
)  # fmt: skip
APPROX = Layout(
    "vae-approx", "vae", "VAE-approx", "a1111", ("conv8.weight",),
    read_approx, approx_shapes, families.APPROX_VAES,
)  # fmt: skip
CLIP = Layout(
    "clip", "text_encoder", "CLIP text encoder", "transformers",
    (
        "text_model.embeddings.token_embedding.weight",
        "text_model.encoder.layers.0.self_attn.q_proj.weight",
    ),
    read_clip, clip_shapes, families.TEXTS, (),
    _clip_optional("text_model."), _clip_spare,
)  # fmt: skip
CLIP_BARE = Layout(
    "clip-bare", "text_encoder", "CLIP text encoder", "transformers-old",
    ("embeddings.token_embedding.weight",),
    _read_bare_clip, bare_clip_shapes, families.TEXTS, (), _clip_optional(""),
)  # fmt: skip
OPENCLIP = Layout(
    "openclip", "text_encoder", "OpenCLIP text encoder", "openclip",
    ("token_embedding.weight", "transformer.resblocks.0.attn.in_proj_weight"),
    read_openclip, openclip_shapes, families.TEXTS, (),
    _openclip_optional, _openclip_spare,
)  # fmt: skip
T5_ENCODER = Layout(
    "t5", "text_encoder", "T5 text encoder", "transformers",
    ("encoder.block.0.layer.0.SelfAttention.q.weight",),
    read_t5, t5_shapes, families.T5S, (), _t5_optional, _t5_spare,
)  # fmt: skip
SD3_NATIVE = Layout(
    "sd3", "dit", "SD3 transformer", "ldm",
    ("joint_blocks.0.context_block.attn.qkv.weight",),
    read_sd3, sd3_shapes, families.SD3S, ("controlnet_blocks.0.weight",),
)  # fmt: skip
SD3_DIFFUSERS = Layout(
    "sd3-diffusers", "dit", "SD3 transformer", "diffusers",
    ("transformer_blocks.0.attn.add_q_proj.weight",),
    read_sd3_diffusers, sd3_diffusers_shapes, families.SD3S,
    ("single_transformer_blocks.0.attn.to_q.weight", "controlnet_blocks.0.weight"),
)  # fmt: skip
FLUX_NATIVE = Layout(
    "flux", "dit", "Flux transformer", "ldm",
    ("double_blocks.0.img_attn.qkv.weight",),
    read_flux, flux_shapes, families.FLUXES,
    ("controlnet_blocks.0.weight", "double_stream_modulation_img.lin.weight"),
)  # fmt: skip
FLUX_DIFFUSERS = Layout(
    "flux-diffusers", "dit", "Flux transformer", "diffusers",
    ("single_transformer_blocks.0.attn.to_q.weight",),
    read_flux_diffusers, flux_diffusers_shapes, families.FLUXES, ("controlnet_blocks.0.weight",),
)  # fmt: skip
CONTROL_LDM = Layout(
    "controlnet-ldm", "control", "ControlNet", "ldm",
    ("input_hint_block.0.weight", "zero_convs.0.0.weight"),
    read_control, control_shapes, families.CONTROLS,
)  # fmt: skip
CONTROL_DIFFUSERS = Layout(
    "controlnet-diffusers", "control", "ControlNet", "diffusers",
    ("controlnet_cond_embedding.conv_in.weight",),
    read_control_diffusers, control_diffusers_shapes, families.CONTROLS,
)  # fmt: skip
ADAPTER = Layout(
    "t2i-adapter", "adapter", "T2I-Adapter", "ldm", ("body.0.block1.weight",),
    read_adapter, adapter_shapes, families.ADAPTERS,
)  # fmt: skip
ADAPTER_DIFFUSERS = Layout(
    "t2i-adapter-diffusers", "adapter", "T2I-Adapter", "diffusers",
    ("adapter.body.0.resnets.0.block1.weight",),
    read_adapter_diffusers, adapter_diffusers_shapes, families.ADAPTERS,
)  # fmt: skip
VISION = Layout(
    "clip-vision", "vision", "CLIP vision tower", "transformers",
    ("vision_model.embeddings.patch_embedding.weight",),
    read_vision, vision_shapes, families.VISIONS, (), _vision_optional,
)  # fmt: skip
VISUAL = Layout(
    "openclip-vision", "vision", "CLIP vision tower", "openclip", ("visual.conv1.weight",),
    read_visual, visual_shapes, families.VISIONS,
)  # fmt: skip

LAYOUTS: tuple[AnyLayout, ...] = (
    UNET_LDM, UNET_DIFFUSERS, SD3_NATIVE, SD3_DIFFUSERS, FLUX_NATIVE, FLUX_DIFFUSERS,
    CONTROL_LDM, CONTROL_DIFFUSERS,
    VAE_LDM, VAE_DIFFUSERS, VAE_OLD_DIFFUSERS, TINY, TINY_DIFFUSERS, TINY_HALF, APPROX,
    CLIP, CLIP_BARE, OPENCLIP, T5_ENCODER, VISION, VISUAL, ADAPTER, ADAPTER_DIFFUSERS,
)  # fmt: skip
"""everything that is recognised by a tree of shapes, in the order in which it is tried"""
