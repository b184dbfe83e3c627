"""Our networks compute what those of diffusers and transformers do, from the same weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import diffusers
import pytest
import torch
import transformers
from torch.nn import functional

from sfumato.catalogue.spelling.networks import unet_names
from sfumato.catalogue.spelling.translation import to_diffusers
from sfumato.catalogue.trees.text import Text
from sfumato.catalogue.trees.tiny_vae import TinyVAE
from sfumato.catalogue.trees.unet import NO_ATTENTION, NO_MIDDLE, SD1, UNet, sizes
from sfumato.catalogue.trees.vae import VAE
from sfumato.containers.arrays import array, tensor_from
from sfumato.engine.networks.clip import CLIPText
from sfumato.engine.networks.openclip import OpenCLIPText
from sfumato.engine.networks.tiny_vae import TinyAutoencoder
from sfumato.engine.networks.unet import UNetModel
from sfumato.engine.networks.vae import AutoencoderKL

pytestmark = pytest.mark.slow

Config = dict[str, Any]
Network = torch.nn.Module

CLOSE = 1e-4
"""largest difference allowed, in float32"""

CROSS_DOWN, DOWN = "CrossAttnDownBlock2D", "DownBlock2D"
CROSS_UP, UP = "CrossAttnUpBlock2D", "UpBlock2D"


def shaken(network: Network) -> Network:
    """Random weights everywhere, also where a new network has ones and zeros."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return network.eval().requires_grad_(False)


def spelled(network: Network) -> dict[str, torch.Tensor]:
    """Its weights under the names of diffusers and transformers, by way of the catalogue."""
    ours = {name: tensor_from(t.numpy()) for name, t in network.state_dict().items()}
    translation = to_diffusers({name: tensor.shape for name, tensor in ours.items()})
    assert not translation.lost and not set(translation.dropped) - {"logit_scale"}
    theirs = translation.apply(ours)
    return {name: torch.from_numpy(array(tensor).copy()) for name, tensor in theirs.items()}


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    assert ours.shape == theirs.shape and theirs.std() > 0.01
    return (ours - theirs).abs().max().item()


def config_of(unet: UNet) -> Config:
    """The settings that are written the same way for every family."""
    return {
        "block_out_channels": unet.widths,
        "in_channels": unet.inputs,
        "layers_per_block": unet.blocks,
        "cross_attention_dim": unet.context,
        "norm_num_groups": min(32, unet.widths[0] // 4),
        "use_linear_projection": unet.linear_projection,
        "attention_head_dim": tuple(w // 64 for w in unet.widths) if unet.linear_projection else 8,
    }


def levels(*attends: int) -> Config:
    """Kinds of blocks, from whether each level attends on the way down."""
    return {
        "down_block_types": tuple(CROSS_DOWN if attend else DOWN for attend in attends),
        "up_block_types": tuple(CROSS_UP if attend else UP for attend in reversed(attends)),
    }


def pooled(labels: int) -> Config:
    """SDXL's label vector: `labels` numbers are 32 of the text and some of 8 for each size."""
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": labels,
    }


FOUR = (32, 64, 96, 96)
ONE = sizes(FOUR, (1, 1, 1, 0), 1, 48)
TWO = sizes((64, 128, 192, 192), (1, 1, 1, 0), 1, 48, linear_projection=True)
XL = sizes((64, 128, 192), (0, 2, 3), 3, 80, labels=80, linear_projection=True)
REFINING = sizes((64, 128, 128, 128), (0, 2, 2, 0), 2, 48, labels=72, linear_projection=True)
UPSCALING = sizes(
    FOUR, (0, 1, 1, 1), 1, 48, inputs=7, classes=20, linear_projection=True,
    cross_only=(True, True, True, False),
)  # fmt: skip
BARE = sizes((64, 128, 192), (0, 2, 3), NO_ATTENTION, 80, labels=80, linear_projection=True)
HEADLESS = sizes(
    (64, 128, 192), (0, 2, 3), NO_MIDDLE, 80, blocks=1, labels=80, linear_projection=True
)
TINY = sizes((32, 64, 96), (1, 1, 1), NO_MIDDLE, 48, blocks=1)

UNETS: list[tuple[str, UNet, Config]] = [
    ("sd1", ONE, levels(1, 1, 1, 0)),
    ("sd1 inpainting", replace(ONE, inputs=9), levels(1, 1, 1, 0)),
    ("sd1 ip2p", replace(ONE, inputs=8), levels(1, 1, 1, 0)),
    ("sd2", TWO, levels(1, 1, 1, 0)),
    ("sd2 unclip", replace(TWO, labels=1536, class_labels=True), levels(1, 1, 1, 0)
        | {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 1536}),
    ("x4-upscaler", UPSCALING, levels(0, 1, 1, 1)
        | {"attention_head_dim": 8, "num_class_embeds": 20,
           "only_cross_attention": UPSCALING.cross_only}),
    ("sdxl", XL, levels(0, 1, 1) | pooled(80) | {"transformer_layers_per_block": (1, 2, 3)}),
    ("refiner", REFINING, levels(0, 1, 1, 0) | pooled(72) | {"transformer_layers_per_block": 2}),
    ("ssd-1b", BARE, levels(0, 1, 1) | pooled(80)
        | {"transformer_layers_per_block": (1, 2, 3), "mid_block_type": "UNetMidBlock2D"}),
    ("koala", HEADLESS, levels(0, 1, 1) | pooled(80)
        | {"transformer_layers_per_block": (1, 2, 3), "mid_block_type": None}),
    ("bk-sdm-tiny", TINY, levels(1, 1, 1) | {"mid_block_type": None}),
]  # fmt: skip


def unets(unet: UNet, config: Config) -> tuple[UNetModel, Network]:
    ours = UNetModel(unet)
    theirs = diffusers.UNet2DConditionModel(**(config_of(unet) | config))
    theirs.load_state_dict(spelled(shaken(ours)))
    return ours, theirs.eval()


def conditions(unet: UNet, theirs: Network) -> tuple[torch.Tensor | None, Config]:
    """The label vector as ours takes it, and what diffusers makes it of."""
    if unet.classes:
        classes = torch.tensor([3, 17])
        return classes, {"class_labels": classes}
    if unet.class_labels:
        embedding = torch.randn(2, unet.labels)
        return embedding, {"class_labels": embedding}
    if not unet.labels:
        return None, {}
    text, numbers = torch.randn(2, 32), 100 * torch.rand(2, (unet.labels - 32) // 8)
    waves = theirs.add_time_proj(numbers.flatten()).view(2, -1)
    given = {"added_cond_kwargs": {"text_embeds": text, "time_ids": numbers}}
    return torch.cat([text, waves], dim=1), given


def enlarge_first(theirs: Network) -> None:
    """Let diffusers fit an odd size after the convolution, as AUTOMATIC1111 and we do.

    By itself it enlarges to the odd size before the convolution, and differs at the border.
    """
    for block in theirs.up_blocks:
        for upsampler in block.upsamplers or ():
            upsampler.forward = partial(enlarged, upsampler.forward)


def enlarged(
    own: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    size: tuple[int, int] | None = None,
) -> torch.Tensor:
    x = own(x)
    return x if size is None else functional.interpolate(x, size, mode="nearest")


@pytest.mark.parametrize(("unet", "config"), [u[1:] for u in UNETS], ids=[u[0] for u in UNETS])
@torch.inference_mode()
def test_a_unet_predicts_what_that_of_diffusers_does(unet: UNet, config: Config) -> None:
    ours, theirs = unets(unet, config)
    enlarge_first(theirs)
    for height, width, tokens in ((16, 8, 77), (9, 13, 154), (7, 24, 231)):
        x, timesteps = torch.randn(2, unet.inputs, height, width), torch.tensor([981.0, 3.25])
        text = torch.randn(2, tokens, unet.context)
        y, given = conditions(unet, theirs)
        expected = theirs(x, timesteps, text, **given).sample
        assert difference(ours(x, timesteps, text, y), expected) <= CLOSE
        assert difference(ours(x, timesteps, ours.project(text), y), expected) <= CLOSE


@torch.inference_mode()
def test_at_even_sizes_diffusers_needs_no_help() -> None:
    ours, theirs = unets(ONE, levels(1, 1, 1, 0))
    x, timesteps, text = (
        torch.randn(2, 4, 16, 24),
        torch.tensor([500.0, 1.0]),
        torch.randn(2, 77, 48),
    )
    assert difference(ours(x, timesteps, text), theirs(x, timesteps, text).sample) <= CLOSE


@pytest.mark.slow
@torch.inference_mode()
def test_sd1_in_full_size_predicts_what_diffusers_does() -> None:
    ours = shaken(UNetModel(SD1)).to(memory_format=torch.channels_last)
    with torch.device("meta"):
        theirs = diffusers.UNet2DConditionModel(cross_attention_dim=768)
    weights = ours.state_dict()
    shared = {there: weights[here] for here, there in unet_names(SD1).items()}
    theirs.load_state_dict(shared, assign=True)
    enlarge_first(theirs.eval())
    for height, width in ((32, 32), (21, 40)):
        x, timesteps = torch.randn(2, 4, height, width), torch.tensor([981.0, 1.0])
        text = torch.randn(2, 154, 768)
        expected = theirs(x, timesteps, text).sample
        assert difference(ours(x, timesteps, text), expected) <= CLOSE


VAES = [
    VAE(16, (1, 2, 4, 4)),
    VAE(32, (1, 2, 2)),
    VAE(16, (1, 2), 1, latent=16, quant=False),
    VAE(128, (1, 1), 1),
]


@pytest.mark.parametrize("vae", VAES, ids=str)
@torch.inference_mode()
def test_a_vae_encodes_and_decodes_what_that_of_diffusers_does(vae: VAE) -> None:
    ours, depth = AutoencoderKL(vae), len(vae.multipliers)
    theirs = diffusers.AutoencoderKL(
        block_out_channels=tuple(vae.width * m for m in vae.multipliers),
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
        layers_per_block=vae.blocks,
        latent_channels=vae.latent,
        norm_num_groups=min(32, vae.width // 4),
        use_quant_conv=vae.quant,
        use_post_quant_conv=vae.quant,
    ).eval()
    theirs.load_state_dict(spelled(shaken(ours)))
    for height, width in ((8, 8), (3, 5)):
        pictures = torch.rand(2, 3, height * vae.factor, width * vae.factor) * 2 - 1
        expected = theirs.encode(pictures).latent_dist.parameters
        assert difference(ours.moments(pictures), expected) <= CLOSE
        latents = torch.randn(2, vae.latent, height, width)
        assert difference(ours.decode(latents), theirs.decode(latents).sample) <= CLOSE


@torch.inference_mode()
def test_a_picture_whose_size_does_not_halve_evenly_is_encoded_as_diffusers_does() -> None:
    ours = AutoencoderKL(VAES[1])
    theirs = diffusers.AutoencoderKL(
        block_out_channels=(32, 64, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=2,
        norm_num_groups=8,
    ).eval()
    theirs.load_state_dict(spelled(shaken(ours)))
    pictures = torch.rand(1, 3, 23, 18) * 2 - 1
    expected = theirs.encode(pictures).latent_dist.mean
    assert difference(ours.encode(pictures), expected) <= CLOSE


@pytest.mark.parametrize("latent", [4, 16])
@torch.inference_mode()
def test_taesd_encodes_and_decodes_what_that_of_diffusers_does(latent: int) -> None:
    ours = shaken(TinyAutoencoder(TinyVAE(latent, 32)))
    theirs = diffusers.AutoencoderTiny(
        latent_channels=latent,
        encoder_block_out_channels=(32,) * 4,
        decoder_block_out_channels=(32,) * 4,
    ).eval()
    theirs.load_state_dict(shifted(ours.state_dict()))
    for height, width in ((8, 8), (3, 5)):
        pictures = torch.rand(2, 3, 8 * height, 8 * width) * 2 - 1
        assert difference(ours.encode(pictures), theirs.encode(pictures).latents) <= CLOSE
        latents = 2 * torch.randn(2, latent, height, width)
        assert difference(ours.decode(latents), theirs.decode(latents).sample) <= CLOSE


def shifted(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """diffusers does not count the clamp with which the decoder begins."""
    found: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        half, number, rest = name.split(".", 2)
        found[f"{half}.layers.{int(number) - (half == 'decoder')}.{rest}"] = tensor
    return found


def texts(text: Text, *, openclip: bool) -> tuple[CLIPText | OpenCLIPText, Network]:
    ours = (OpenCLIPText if openclip else CLIPText)(text)
    config = transformers.CLIPTextConfig(
        vocab_size=text.vocabulary,
        hidden_size=text.width,
        intermediate_size=text.inner,
        num_hidden_layers=text.layers,
        num_attention_heads=text.width // 64,
        hidden_act="gelu" if openclip else "quick_gelu",
        projection_dim=text.projection or text.width,
        bos_token_id=98,
        eos_token_id=99,
        pad_token_id=0 if openclip else 99,
    )
    kind = "CLIPTextModelWithProjection" if text.projection else "CLIPTextModel"
    theirs = getattr(transformers, kind)(config).eval()
    weights = spelled(shaken(ours))
    known = theirs.state_dict()
    # transformers from 5 on leaves `text_model.` out where there is no projection.
    weights = {n if n in known else n.removeprefix("text_model."): t for n, t in weights.items()}
    theirs.load_state_dict(weights)
    return ours, theirs


@pytest.mark.parametrize("openclip", [False, True], ids=["clip", "openclip"])
@pytest.mark.parametrize("projection", [0, 32], ids=["plain", "projected"])
@torch.inference_mode()
def test_a_text_encoder_says_what_that_of_transformers_does(
    openclip: bool, projection: int
) -> None:
    ours, theirs = texts(Text(128, 3, 256, projection, vocabulary=100), openclip=openclip)
    ids = torch.randint(1, 98, (2, 77))
    ids[:, 0], ids[0, 20:], ids[1, 76] = 98, 99, 99
    expected = theirs(ids, output_hidden_states=True)
    states = ours.hidden(ours.embed(ids))
    for state, their_state in zip(states, expected.hidden_states, strict=True):
        assert difference(state, their_state) <= CLOSE
    assert difference(ours.norm(states[-1]), expected.last_hidden_state) <= CLOSE
    end = expected.text_embeds if projection else expected.pooler_output
    assert difference(ours.pool(states[-1], ids), end) <= CLOSE
