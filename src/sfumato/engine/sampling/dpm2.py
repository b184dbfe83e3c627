"""DPM-Solver-2: a slope taken in the geometric middle of a step, plain and ancestral."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from sfumato.engine.sampling.ancestral import ancestral, slope
from sfumato.engine.sampling.churn import churned
from sfumato.engine.sampling.sampler import SamplerSettings
from sfumato.engine.step import Denoiser, Step


def dpm2(denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings) -> Iterator[Step]:
    """DPM-Solver-2 of Lu et al. (2022), https://arxiv.org/abs/2206.00927, with churn."""
    for sigma, sigma_next in pairwise(sigmas):
        x, sigma_hat = churned(x, sigma, len(sigmas) - 1, settings)
        denoised = denoise(x, sigma_hat)
        x = _step(denoise, x, (sigma_hat, sigma_next), denoised)
        yield Step(x, denoised, sigma_next)


def dpm2_ancestral(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings
) -> Iterator[Step]:
    """The same, too far down and back with fresh noise (k-diffusion)."""
    for sigma, sigma_next in pairwise(sigmas):
        denoised = denoise(x, sigma)
        down, up = ancestral(sigma, sigma_next, settings.eta(1.0))
        x = _step(denoise, x, (sigma, down), denoised)
        if down > 0:
            x = x + settings.noise() * (settings.tuning.noise * up)
        yield Step(x, denoised, sigma_next)


def _step(denoise: Denoiser, x: Tensor, ends: tuple[Tensor, Tensor], denoised: Tensor) -> Tensor:
    sigma, sigma_next = ends
    d = slope(x, sigma, denoised)
    if sigma_next == 0:
        return x + d * (sigma_next - sigma)
    middle = ((sigma.log() + sigma_next.log()) / 2).exp()
    halfway = x + d * (middle - sigma)
    return x + slope(halfway, middle, denoise(halfway, middle)) * (sigma_next - sigma)
