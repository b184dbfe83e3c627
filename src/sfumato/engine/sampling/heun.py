"""Heun's method, plain and with restarts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from sfumato.engine.sampling.ancestral import slope
from sfumato.engine.sampling.churn import churned
from sfumato.engine.sampling.sampler import SamplerSettings
from sfumato.engine.sampling.schedules import karras_sigmas
from sfumato.engine.step import Denoiser, Step


def heun(denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings) -> Iterator[Step]:
    """Algorithm 2 of Karras et al. (2022), https://arxiv.org/abs/2206.00364"""
    for sigma, sigma_next in pairwise(sigmas):
        x, sigma_hat = churned(x, sigma, len(sigmas) - 1, settings)
        x, denoised = _step(denoise, x, sigma_hat, sigma_next)
        yield Step(x, denoised, sigma_next)


def restart(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings
) -> Iterator[Step]:
    """Heun steps, some of which are taken again from a higher level.

    Xu et al. (2023), https://arxiv.org/abs/2306.14878, with the plan of A1111's web UI.
    """
    last = sigmas[0]
    for sigma, sigma_next in restart_plan(sigmas):
        if sigma > last:
            noise = settings.tuning.noise * (sigma**2 - last**2).sqrt()
            x = x + settings.noise() * noise
        x, denoised = _step(denoise, x, sigma, sigma_next)
        last = sigma_next
        yield Step(x, denoised, sigma_next)


RESTART_LOW, RESTART_HIGH = 0.1, 2.0


def restart_plan(sigmas: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Steps (from, to) for a schedule (n + 1,): about n of them, restarts included."""
    steps = len(sigmas) - 1
    if steps < 20:
        return list(pairwise(sigmas))
    again, times = (steps // 4, 2) if steps >= 36 else (9, 1)
    smallest = float(sigmas[sigmas > 0].min())
    main = karras_sigmas(steps - again * times, smallest, float(sigmas[0]))
    low, high = (int((main - level).abs().argmin()) for level in (RESTART_LOW, RESTART_HIGH))
    plan = list(pairwise(main))
    if high >= low:
        return plan
    back = karras_sigmas(again + 1, float(main[low]), float(main[high]))[:-1]
    return plan[:low] + list(pairwise(back)) * times + plan[low:]


def _step(denoise: Denoiser, x: Tensor, sigma: Tensor, sigma_next: Tensor) -> tuple[Tensor, Tensor]:
    """The next latent, and the estimate at its beginning; to 0 it is an Euler step."""
    denoised = denoise(x, sigma)
    d = slope(x, sigma, denoised)
    guess = x + d * (sigma_next - sigma)
    if sigma_next == 0:
        return guess, denoised
    d_next = slope(guess, sigma_next, denoise(guess, sigma_next))
    return x + (d + d_next) / 2 * (sigma_next - sigma), denoised
