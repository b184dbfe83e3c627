"""DDIM, plain and with the manifold's own guidance.

Song et al. (2020), https://arxiv.org/abs/2010.02502, equation 12.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sfumato.engine.sampling.discretisation import Discretisation
from sfumato.engine.sampling.sampler import SamplerSettings
from sfumato.engine.step import Predicted, Predictor, Step


def ddim(
    predict: Predictor,
    x: Tensor,
    timesteps: Tensor,
    table: Discretisation,
    settings: SamplerSettings,
) -> Iterator[Step]:
    """From the last of `timesteps` (n,) to the first: n - 1 evaluations."""
    return _run(predict, x, timesteps, table, settings, free=False)


def ddim_cfgpp(
    predict: Predictor,
    x: Tensor,
    timesteps: Tensor,
    table: Discretisation,
    settings: SamplerSettings,
) -> Iterator[Step]:
    """DDIM whose noise is put back without the prompt: CFG++.

    Chung et al. (2024), https://arxiv.org/abs/2406.08070; scales are a share of 1 there, so the
    CFG scale is divided by 12.5 (`Sampler.cfg_factor`).
    """
    return _run(predict, x, timesteps, table, settings, free=True)


def _run(
    predict: Predictor,
    x: Tensor,
    timesteps: Tensor,
    table: Discretisation,
    settings: SamplerSettings,
    *,
    free: bool,
) -> Iterator[Step]:
    eta = settings.eta(0.0)
    for index in range(len(timesteps) - 1, 0, -1):
        a, a_next = table.alphas[timesteps[index]], table.alphas[timesteps[index - 1]]
        predicted = predict(x, timesteps[index])
        sigma = eta * ((1 - a_next) / (1 - a) * (1 - a / a_next)).sqrt()
        x, denoised = to_level(x, predicted, (a, a_next), sigma=sigma, free=free)
        if eta:
            x = x + settings.noise() * (settings.tuning.noise * sigma)
        yield Step(x, denoised, ((1 - a_next) / a_next).sqrt())


def to_level(
    x: Tensor,
    predicted: Predicted,
    alphas: tuple[Tensor, Tensor],
    *,
    sigma: Tensor | None = None,
    free: bool = False,
) -> tuple[Tensor, Tensor]:
    """x at the next ᾱ without its fresh noise of deviation `sigma`, and the clean estimate.

    free: the direction is that of the noise predicted without the prompt.
    """
    a, a_next = alphas
    denoised = (x - (1 - a).sqrt() * predicted.eps) / a.sqrt()
    variance = torch.zeros_like(a) if sigma is None else sigma**2
    direction = predicted.uncond if free else predicted.eps
    return a_next.sqrt() * denoised + (1 - a_next - variance).sqrt() * direction, denoised
