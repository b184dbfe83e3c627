"""Our trees are the networks of diffusers: built without memory, key by key, shape by shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import diffusers
import pytest
import torch
from diffusers.loaders import single_file_utils

from sfumato.catalogue import families
from sfumato.catalogue.identify import identify
from sfumato.catalogue.layouts import unet_diffusers_shapes, vae_diffusers_shapes
from sfumato.catalogue.trees.control import (
    CONTROL_SD1,
    CONTROL_SDXL,
    Adapter,
    adapter_diffusers_shapes,
    control_diffusers_shapes,
)
from sfumato.catalogue.trees.dit import (
    SD3_MEDIUM,
    SD35_LARGE,
    SD35_MEDIUM,
    Flux,
    flux_diffusers_shapes,
    flux_shapes,
    sd3_diffusers_shapes,
    sd3_shapes,
)
from sfumato.catalogue.trees.shapes import Shapes
from sfumato.catalogue.trees.tiny_vae import TinyVAE, tiny_diffusers_shapes
from sfumato.catalogue.trees.unet import REFINER, SD1, SD2, SDXL, UNet, unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from sfumato.containers.dtype import F16
from sfumato.containers.tensor import Tensor

Config = dict[str, Any]


def shapes_of(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items() if tensor is not None}


def weightless(kind: str, config: Config) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a network that is built without memory for its weights."""
    with torch.device("meta"):
        return shapes_of(getattr(diffusers, kind)(**config).state_dict())


CROSS_DOWN, DOWN = "CrossAttnDownBlock2D", "DownBlock2D"
CROSS_UP, UP = "CrossAttnUpBlock2D", "UpBlock2D"

FLAT: Config = {"use_linear_projection": True}
XL: Config = FLAT | {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": (DOWN, CROSS_DOWN, CROSS_DOWN),
    "up_block_types": (CROSS_UP, CROSS_UP, UP),
    "transformer_layers_per_block": (1, 2, 10),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
TWO: Config = FLAT | {"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20)}
REFINING: Config = XL | {
    "block_out_channels": (384, 768, 1536, 1536),
    "down_block_types": (DOWN, CROSS_DOWN, CROSS_DOWN, DOWN),
    "up_block_types": (UP, CROSS_UP, CROSS_UP, UP),
    "transformer_layers_per_block": 4,
    "cross_attention_dim": 1280,
    "attention_head_dim": (6, 12, 24, 24),
    "projection_class_embeddings_input_dim": 2560,
}
X4: Config = TWO | {
    "in_channels": 7,
    "block_out_channels": (256, 512, 512, 1024),
    "down_block_types": (DOWN, CROSS_DOWN, CROSS_DOWN, CROSS_DOWN),
    "up_block_types": (CROSS_UP, CROSS_UP, CROSS_UP, UP),
    "attention_head_dim": 8,
    "num_class_embeds": 1000,
    "only_cross_attention": (True, True, True, False),
}
SSD: Config = XL | {
    "mid_block_type": "UNetMidBlock2D",
    "transformer_layers_per_block": [1, 2, 4],
    "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1],
}
KOALA: Config = XL | {
    "mid_block_type": None,
    "layers_per_block": 1,
    "transformer_layers_per_block": [1, 2, 5],
}
TINY: Config = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": (CROSS_DOWN,) * 3,
    "up_block_types": (CROSS_UP,) * 3,
    "mid_block_type": None,
    "layers_per_block": 1,
    "cross_attention_dim": 768,
}
UNCLIP: Config = TWO | {
    "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": 2048,
}


def published(variant: str) -> UNet:
    return next(c.sizes for c in families.UNETS if c.variant == variant)


UNETS: list[tuple[str, UNet, Config]] = [
    ("sd1", SD1, {"cross_attention_dim": 768}),
    ("sd1 inpainting", replace(SD1, inputs=9), {"cross_attention_dim": 768, "in_channels": 9}),
    ("sd2", SD2, TWO),
    ("sd2 unclip", published("unclip-h"), UNCLIP),
    ("x4-upscaler", published("upscaler-x4"), X4),
    ("sdxl", SDXL, XL),
    ("sdxl inpainting", replace(SDXL, inputs=9), XL | {"in_channels": 9}),
    ("refiner", REFINER, REFINING),
    ("ssd-1b", published("ssd-1b"), SSD),
    ("koala-700m", published("koala-700m"), KOALA),
    ("bk-sdm-tiny", published("bk-sdm-tiny"), TINY),
]


@pytest.mark.parametrize(("unet", "config"), [u[1:] for u in UNETS], ids=[u[0] for u in UNETS])
def test_a_unet_has_the_keys_and_shapes_of_diffusers(unet: UNet, config: Config) -> None:
    theirs = weightless("UNet2DConditionModel", config)
    assert unet_diffusers_shapes(unet) == theirs
    read = {name: Tensor(F16, shape, bytes) for name, shape in theirs.items()}
    assert identify(read).hyperparameters["widths"] == unet.widths


@pytest.mark.parametrize(("unet", "config"), [u[1:] for u in UNETS], ids=[u[0] for u in UNETS])
def test_diffusers_converts_our_original_names_to_its_own(unet: UNet, config: Config) -> None:
    with torch.device("meta"):
        prefix = "model.diffusion_model."
        ours = {prefix + n: torch.empty(s) for n, s in unet_shapes(unet).items()}
        theirs = diffusers.UNet2DConditionModel(**config)
    converted = single_file_utils.convert_ldm_unet_checkpoint(ours, dict(theirs.config))
    assert shapes_of(converted) == unet_diffusers_shapes(unet)


LEVELS: Config = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
X4_LEVELS: Config = LEVELS | {
    "block_out_channels": (128, 256, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
}
BARE: Config = {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}
VAES: list[tuple[str, VAE, Config]] = [
    ("kl-f8", VAE(), LEVELS),
    ("kl-f4", VAE(multipliers=(1, 2, 4)), X4_LEVELS),
    ("16 channels", VAE(latent=16, quant=False), LEVELS | BARE),
]


@pytest.mark.parametrize(("vae", "config"), [v[1:] for v in VAES], ids=[v[0] for v in VAES])
def test_a_vae_has_the_keys_and_shapes_of_diffusers(vae: VAE, config: Config) -> None:
    assert vae_diffusers_shapes(vae) == weightless("AutoencoderKL", config)
    with torch.device("meta"):
        ours = {n: torch.empty(s) for n, s in vae_shapes(vae).items()}
    converted = single_file_utils.convert_ldm_vae_checkpoint(ours, config)
    assert shapes_of(converted) == vae_diffusers_shapes(vae)


def test_a_tiny_vae_has_the_keys_and_shapes_of_diffusers() -> None:
    assert tiny_diffusers_shapes(TinyVAE()) == weightless("AutoencoderTiny", {})
    flux = {"latent_channels": 16}
    assert tiny_diffusers_shapes(TinyVAE(16)) == weightless("AutoencoderTiny", flux)


@pytest.mark.parametrize(
    ("shapes", "config"),
    [
        (control_diffusers_shapes(CONTROL_SD1), {"cross_attention_dim": 768}),
        (
            control_diffusers_shapes(CONTROL_SDXL),
            {key: value for key, value in XL.items() if key != "up_block_types"},
        ),
    ],
    ids=["sd1", "sdxl"],
)
def test_a_controlnet_has_the_keys_and_shapes_of_diffusers(shapes: Shapes, config: Config) -> None:
    assert shapes == weightless("ControlNetModel", config)


@pytest.mark.parametrize(
    ("adapter", "config"),
    [
        (Adapter(192), {"downscale_factor": 8}),
        (Adapter(768), {"downscale_factor": 16, "adapter_type": "full_adapter_xl"}),
    ],
    ids=["sd1", "sdxl"],
)
def test_a_t2i_adapter_has_the_keys_and_shapes_of_diffusers(
    adapter: Adapter, config: Config
) -> None:
    channels: Config = {"channels": [320, 640, 1280, 1280], "num_res_blocks": 2}
    theirs = weightless("T2IAdapter", {"in_channels": 3} | channels | config)
    assert adapter_diffusers_shapes(adapter) == theirs


SD3_CONFIGS = [
    ("medium", SD3_MEDIUM, {"pos_embed_max_size": 192}),
    (
        "3.5-medium",
        SD35_MEDIUM,
        {
            "pos_embed_max_size": 384,
            "dual_attention_layers": tuple(range(13)),
            "qk_norm": "rms_norm",
        },
    ),
    ("3.5-large", SD35_LARGE, {"pos_embed_max_size": 192, "qk_norm": "rms_norm"}),
]


@pytest.mark.parametrize(
    ("sd3", "config"), [c[1:] for c in SD3_CONFIGS], ids=[c[0] for c in SD3_CONFIGS]
)
def test_sd3_has_the_keys_and_shapes_of_diffusers_in_both_spellings(
    sd3: families.SD3, config: Config
) -> None:
    fixed: Config = {
        "num_layers": sd3.depth,
        "num_attention_heads": sd3.width // 64,
        "attention_head_dim": 64,
        "joint_attention_dim": 4096,
        "caption_projection_dim": sd3.width,
        "pooled_projection_dim": 2048,
    }
    assert sd3_diffusers_shapes(sd3) == weightless("SD3Transformer2DModel", fixed | config)
    with torch.device("meta"):
        ours = {n: torch.empty(s) for n, s in sd3_shapes(sd3).items()}
    converted = single_file_utils.convert_sd3_transformer_checkpoint_to_diffusers(ours)
    assert shapes_of(converted) == sd3_diffusers_shapes(sd3)


@pytest.mark.parametrize("guidance", [True, False], ids=["dev", "schnell"])
def test_flux_has_the_keys_and_shapes_of_diffusers_in_both_spellings(guidance: bool) -> None:
    flux = Flux(guidance=guidance)
    theirs = weightless("FluxTransformer2DModel", {"guidance_embeds": guidance})
    assert flux_diffusers_shapes(flux) == theirs
    with torch.device("meta"):
        ours = {n: torch.empty(s) for n, s in flux_shapes(flux).items()}
    converted = single_file_utils.convert_flux_transformer_checkpoint_to_diffusers(ours)
    assert shapes_of(converted) == theirs and not ours


@pytest.mark.filterwarnings("ignore:.*FluxPosEmbed.*:FutureWarning")
def test_chroma_is_what_diffusers_converts_into_its_own_class() -> None:
    theirs = weightless("ChromaTransformer2DModel", {})
    with torch.device("meta"):
        ours = {n: torch.empty(s) for n, s in flux_shapes(Flux(distilled=5)).items()}
    converted = single_file_utils.convert_chroma_transformer_checkpoint_to_diffusers(ours)
    assert shapes_of(converted) == theirs and not ours
