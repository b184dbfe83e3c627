"""Latent consistency models: the estimate itself, with noise put back.

Luo et al. (2023), https://arxiv.org/abs/2310.04378.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from sfumato.engine.sampling.discretisation import Discretisation
from sfumato.engine.sampling.sampler import SamplerSettings
from sfumato.engine.step import Denoiser, Step

LEVELS = 50
"""levels that such models were distilled at"""
_DEVIATION = 0.5
_SCALING = 10.0


def consistency_levels(table: Discretisation) -> Discretisation:
    """Every so manyth level of a model's table, its last one among them: 19, 39 … 999."""
    spacing = len(table.alphas) // LEVELS
    times = torch.arange(spacing - 1, len(table.alphas), spacing)
    return Discretisation(table.alphas[times], times.float(), quantize=True)


def lcm(denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings) -> Iterator[Step]:
    """Multistep consistency sampling: algorithm 1 of Song et al. (2023), in sigma.

    `settings.table` must be `consistency_levels`.
    """
    table = settings.table
    assert table is not None, "this sampler is marked as one with levels of its own"
    for sigma, sigma_next in pairwise(sigmas):
        skip, out = _boundary(table.sigma_to_t(sigma))
        x = denoised = out * denoise(x, sigma) + skip * x
        if sigma_next > 0:
            x = x + settings.noise() * (settings.tuning.noise * sigma_next)
        yield Step(x, denoised, sigma_next)


def _boundary(t: Tensor) -> tuple[Tensor, Tensor]:
    """c_skip and c_out: at timestep 0 the latent is its own estimate."""
    scaled = t * _SCALING
    total = scaled**2 + _DEVIATION**2
    return _DEVIATION**2 / total, scaled / total.sqrt()
