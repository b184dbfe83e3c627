"""Small random checkpoints that can paint: every family, with CLIP's whole vocabulary."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from sfumato.catalogue.trees.shapes import Shape
from sfumato.catalogue.trees.text import Text, clip_shapes, openclip_shapes
from sfumato.catalogue.trees.unet import UNet, sizes, unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from sfumato.containers.arrays import tensor_from
from sfumato.containers.dtype import F32, DType
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
CLIP_PREFIX = "cond_stage_model.transformer."
OPENCLIP_PREFIX = "cond_stage_model.model."
FIRST = "conditioner.embedders.0."
SECOND = "conditioner.embedders.1."

SMALL_VAE = VAE(32, (1, 1, 2, 2), 1)
SMALL_CLIP = Text(128, 2, 256)
SMALL_OPENCLIP = Text(128, 3, 256, projection=128)
NARROW_CLIP = Text(64, 3, 128)

SD1 = sizes((32, 64), (1, 0), 1, 128, blocks=1)
SD2 = sizes((64, 64), (1, 0), 1, 128, blocks=1, linear_projection=True)
SDXL = sizes((64, 64), (0, 1), 1, 192, blocks=1, labels=128 + 1536, linear_projection=True)
REFINER = sizes((64, 64), (0, 1), 1, 128, blocks=1, labels=128 + 1280, linear_projection=True)

Shapes = dict[str, Shape]


def _under(prefix: str, shapes: Mapping[str, Shape]) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def _sd1(unet: UNet = SD1) -> Shapes:
    return {
        **_under(UNET_PREFIX, unet_shapes(unet)),
        **_under(VAE_PREFIX, vae_shapes(SMALL_VAE)),
        **_under(CLIP_PREFIX, clip_shapes(SMALL_CLIP)),
    }


def _sd2() -> Shapes:
    return {
        **_under(UNET_PREFIX, unet_shapes(SD2)),
        **_under(VAE_PREFIX, vae_shapes(SMALL_VAE)),
        **_under(OPENCLIP_PREFIX, openclip_shapes(SMALL_OPENCLIP)),
    }


def _sdxl() -> Shapes:
    return {
        **_under(UNET_PREFIX, unet_shapes(SDXL)),
        **_under(VAE_PREFIX, vae_shapes(SMALL_VAE)),
        **_under(FIRST + "transformer.", clip_shapes(NARROW_CLIP)),
        **_under(SECOND + "model.", openclip_shapes(SMALL_OPENCLIP)),
    }


def _refiner() -> Shapes:
    return {
        **_under(UNET_PREFIX, unet_shapes(REFINER)),
        **_under(VAE_PREFIX, vae_shapes(SMALL_VAE)),
        **_under(FIRST + "model.", openclip_shapes(SMALL_OPENCLIP)),
    }


KINDS: Mapping[str, Callable[[], Shapes]] = {
    "sd1": _sd1,
    "sd1-inpainting": lambda: _sd1(replace(SD1, inputs=9)),
    "sd1-ip2p": lambda: _sd1(replace(SD1, inputs=8)),
    "sd2": _sd2,
    "sdxl": _sdxl,
    "sdxl-refiner": _refiner,
}


@cache
def checkpoint(kind: str = "sd1", dtype: DType = F32, seed: int = 0) -> Mapping[str, Tensor]:
    """The tensors of a small model: norms are ones, the rest keeps the size of what it is given."""
    return {name: _weight(name, shape, dtype, seed) for name, shape in KINDS[kind]().items()}


def _weight(name: str, shape: Shape, dtype: DType, seed: int) -> Tensor:
    rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
    values = rng.standard_normal(shape, dtype=np.float32)
    if len(shape) < 2:
        norm = name.endswith(".weight")
        values = 0.1 * values + (1 if norm else 0)
    elif "embedding" in name:
        values = 0.5 * values
    else:
        values /= np.sqrt(values.size / shape[0])
    return tensor_from(np.asarray(values, "<f4"), dtype)


def write(path: Path, kind: str = "sd1", dtype: DType = F32, seed: int = 0) -> Path:
    """Write a small model; the suffix of `path` tells the container."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, checkpoint(kind, dtype, seed))
    return path
