"""Euler's method, plain and ancestral."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from sfumato.engine.sampling.ancestral import ancestral, slope
from sfumato.engine.sampling.churn import churned
from sfumato.engine.sampling.sampler import SamplerSettings
from sfumato.engine.step import Denoiser, Step


def euler(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings
) -> Iterator[Step]:
    """Algorithm 2 of Karras et al. (2022) without the correction, https://arxiv.org/abs/2206.00364"""
    for sigma, sigma_next in pairwise(sigmas):
        x, sigma_hat = churned(x, sigma, len(sigmas) - 1, settings)
        denoised = denoise(x, sigma_hat)
        x = x + slope(x, sigma_hat, denoised) * (sigma_next - sigma_hat)
        yield Step(x, denoised, sigma_next)


def euler_ancestral(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings
) -> Iterator[Step]:
    """Euler steps that go too far down and come back with fresh noise (k-diffusion)."""
    for sigma, sigma_next in pairwise(sigmas):
        denoised = denoise(x, sigma)
        down, up = ancestral(sigma, sigma_next, settings.eta(1.0))
        x = x + slope(x, sigma, denoised) * (down - sigma)
        if sigma_next > 0:
            x = x + settings.noise() * (settings.tuning.noise * up)
        yield Step(x, denoised, sigma_next)
