"""SDXL's vector: pooled text, and the sizes that a picture is to look as if it had."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sfumato.engine.model import Model
from sfumato.errors import Unsupported

AESTHETIC = {False: 6.0, True: 2.5}
"""score that the refiner is told: for the prompt, and for the negative one (True)"""


def sizes_told(
    model: Model, size: tuple[int, int], crop: tuple[int, int], negative: bool
) -> tuple[float, ...]:
    """The numbers in SDXL's vector: original size, crop, size (or the refiner's score)."""
    width, height = size
    last = (AESTHETIC[negative],) if model.family == "sdxl-refiner" else (height, width)
    return (height, width, *crop, *last)


def vectors(model: Model, pooled: Tensor, numbers: Sequence[float]) -> Tensor:
    """`pooled` (b, width) with the waves of `numbers` behind it: (b, labels)."""
    each, rest = divmod(model.unet_sizes.labels - pooled.shape[-1], len(numbers))
    if rest or each < 2:
        raise Unsupported(
            model.path,
            f"its UNet takes a vector of {model.unet_sizes.labels}, which its text encoder's "
            f"{pooled.shape[-1]} and {len(numbers)} sizes do not make up",
        )
    waves = fourier(torch.tensor(numbers, dtype=torch.float32, device=pooled.device), each)
    return torch.cat([pooled, waves.to(pooled).flatten().expand(len(pooled), -1)], dim=-1)


def fourier(values: Tensor, width: int) -> Tensor:
    """Each of `values` (n,) as cosines and sines (n, width), as timesteps are told to a UNet.

    Positional encoding of Vaswani et al. (2017), section 3.5, cosines first.
    """
    half = width // 2
    rates = torch.exp(torch.arange(half, device=values.device) * (-math.log(10000) / half))
    angles = values.float()[:, None] * rates
    return torch.nn.functional.pad(
        torch.cat([angles.cos(), angles.sin()], dim=-1), (0, width - 2 * half)
    )
