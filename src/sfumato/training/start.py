"""Where a run from scratch starts: a checkpoint of random weights, written as any other."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from pathlib import Path

import torch
from torch import Tensor

from sfumato.catalogue.trees.shapes import Shape, Shapes
from sfumato.catalogue.trees.text import Text, clip_shapes
from sfumato.catalogue.trees.unet import UNet, sizes, unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from sfumato.containers.save_file import save_file
from sfumato.training.randomness import generator
from sfumato.training.settings import Run, Scratch
from sfumato.training.torch_tensors import all_from_torch

UNET_PREFIX = "model.diffusion_model."
TEXT_PREFIX = "cond_stage_model.transformer."
VAE_PREFIX = "first_stage_model."

SILENT = ("out_layers.3.weight", "proj_out.weight", "out.2.weight")
"""last layers of a UNet's blocks, which start at zero (zero_module of openaimodel.py)"""


def unet_of(scratch: Scratch) -> UNet:
    """The UNet's sizes."""
    return sizes(
        scratch.widths, scratch.depths, scratch.middle, scratch.text_width, blocks=scratch.blocks
    )


def text_of(scratch: Scratch) -> Text:
    """The text encoder's sizes; the vocabulary is CLIP's."""
    return Text(scratch.text_width, scratch.text_layers, scratch.text_inner)


def vae_of(scratch: Scratch) -> VAE:
    """The VAE's sizes."""
    return VAE(scratch.vae_width, scratch.vae_multipliers, scratch.vae_blocks)


def write_start(run: Run, scratch: Scratch, path: Path) -> Path:
    """Write random weights for what a run trains: a VAE alone, or a checkpoint without a VAE."""
    made = _vae(scratch, run) if run.kind == "vae" else _checkpoint(scratch, run.seed)
    save_file(path, all_from_torch(dict(made)), force=True)
    return path


def _checkpoint(scratch: Scratch, seed: int) -> Iterator[tuple[str, Tensor]]:
    unet, text = unet_of(scratch), text_of(scratch)
    for name, shape in unet_shapes(unet).items():
        value = torch.zeros(shape) if name.endswith(SILENT) else _usual(name, shape, seed)
        yield UNET_PREFIX + name, value
    for name, shape in clip_shapes(text).items():
        yield TEXT_PREFIX + name, _text(name, shape, text, seed)


def _vae(scratch: Scratch, run: Run) -> Iterator[tuple[str, Tensor]]:
    shapes: Shapes = vae_shapes(vae_of(scratch))
    latent = vae_of(scratch).latent
    for name, shape in shapes.items():
        value = _usual(name, shape, run.seed)
        if name == "quant_conv.weight":
            value[latent:] = 0  # the variance starts equal everywhere
        if name == "quant_conv.bias":
            value[latent:] = run.vae.log_variance
        yield name, value


def _usual(name: str, shape: Shape, seed: int) -> Tensor:
    """Uniform by the number of inputs, as torch's layers start; norms at one, biases at zero."""
    if name.endswith(".bias"):
        return torch.zeros(shape)
    if len(shape) == 1:
        return torch.ones(shape)
    bound = 1 / sqrt(torch.Size(shape[1:]).numel())
    return torch.rand(shape, generator=_draw(name, seed)).mul_(2 * bound).sub_(bound)


def _text(name: str, shape: Shape, text: Text, seed: int) -> Tensor:
    """As CLIP starts: `initialize_parameters` of the code of Radford et al. (2021)."""
    if name.endswith(".bias") or len(shape) == 1:
        return _usual(name, shape, seed)
    inner = (2 * text.layers * text.width) ** -0.5
    spread = {
        "token_embedding": 0.02, "position_embedding": 0.01, "out_proj": inner, "fc2": inner,
        "fc1": (2 * text.width) ** -0.5,
    }  # fmt: skip
    layer = name.split(".")[-2]
    return torch.randn(shape, generator=_draw(name, seed)) * spread.get(layer, text.width**-0.5)


def _draw(name: str, seed: int) -> torch.Generator:
    return generator(seed, "start", *name.encode())
