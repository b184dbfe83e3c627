"""DPM-Solver++ without a stochastic equation: two stages with ancestral noise, and two steps.

Lu et al. (2022), https://arxiv.org/abs/2211.01095; λ = -ln sigma, h = λ(next) - λ.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from sfumato.engine.sampling.ancestral import ancestral
from sfumato.engine.sampling.sampler import SamplerSettings
from sfumato.engine.step import Denoiser, Step


def exponential_step(x: Tensor, denoised: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """The exact way from `sigma` to `sigma_next` if the estimate stayed the same."""
    ratio = sigma_next / sigma
    return ratio * x + (1 - ratio) * denoised


def dpmpp_2s_ancestral(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings
) -> Iterator[Step]:
    """DPM-Solver++(2S) to the ancestral level, and fresh noise back up (k-diffusion)."""
    for sigma, sigma_next in pairwise(sigmas):
        denoised = denoise(x, sigma)
        down, up = ancestral(sigma, sigma_next, settings.eta(1.0))
        estimate = denoised
        if down > 0:
            middle = (sigma * down).sqrt()
            halfway = exponential_step(x, denoised, sigma, middle)
            estimate = denoise(halfway, middle)
        x = exponential_step(x, estimate, sigma, down)
        if sigma_next > 0:
            x = x + settings.noise() * (settings.tuning.noise * up)
        yield Step(x, denoised, sigma_next)


def dpmpp_2m(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings
) -> Iterator[Step]:
    """DPM-Solver++(2M): the last estimate serves to extrapolate this one."""
    old: Tensor | None = None
    h_old = torch.zeros(())
    for sigma, sigma_next in pairwise(sigmas):
        denoised = estimate = denoise(x, sigma)
        h = (sigma / sigma_next).log()
        if old is not None and sigma_next > 0:
            r = h_old / h
            estimate = denoised + (denoised - old) / (2 * r)
        x = exponential_step(x, estimate, sigma, sigma_next)
        old, h_old = denoised, h
        yield Step(x, denoised, sigma_next)
