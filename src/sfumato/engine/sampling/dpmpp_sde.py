"""DPM-Solver++ for the stochastic equation, with noise from Brownian motion.

Lu et al. (2022), https://arxiv.org/abs/2211.01095; λ = -ln sigma, h = λ(next) - λ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from sfumato.engine.sampling.ancestral import ancestral, slope
from sfumato.engine.sampling.dpmpp import exponential_step
from sfumato.engine.sampling.sampler import Brownian, SamplerSettings
from sfumato.engine.step import Denoiser, Step


def dpmpp_sde(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings
) -> Iterator[Step]:
    """DPM-Solver++ in two stages, with ancestral noise after each (k-diffusion)."""
    eta, factor, brownian = settings.eta(1.0), settings.tuning.noise, _brownian(settings)
    for sigma, sigma_next in pairwise(sigmas):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = x + slope(x, sigma, denoised) * (sigma_next - sigma)
        else:
            # λ and back, as k-diffusion computes it: the motion is fine enough to show the rounding
            start, end = -sigma.log(), -sigma_next.log()
            high, middle, low = (-torch.stack([start, start + (end - start) / 2, end])).exp()
            down, up = ancestral(sigma, middle, eta)
            halfway = exponential_step(x, denoised, sigma, down)
            halfway = halfway + brownian(high, middle) * (factor * up)
            # with the middle as the only inner point its estimate stands for the whole step
            estimate = denoise(halfway, middle)
            down, up = ancestral(sigma, sigma_next, eta)
            x = exponential_step(x, estimate, sigma, down)
            x = x + brownian(high, low) * (factor * up)
        yield Step(x, denoised, sigma_next)


Correction = Callable[[Tensor], Tensor]
"""H = (1 + eta) h → factor of the change of estimates over the ratio of steps"""


def _midpoint(width: Tensor) -> Tensor:
    return -0.5 * torch.expm1(-width)


def _heun(width: Tensor) -> Tensor:
    return 1 + torch.expm1(-width) / width


def dpmpp_2m_sde(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings
) -> Iterator[Step]:
    """SDE-DPM-Solver++(2M), the midpoint form."""
    return _two_steps(denoise, x, sigmas, settings, correction=_midpoint)


def dpmpp_2m_sde_heun(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings
) -> Iterator[Step]:
    """SDE-DPM-Solver++(2M), Heun's form."""
    return _two_steps(denoise, x, sigmas, settings, correction=_heun)


def _two_steps(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    settings: SamplerSettings,
    *,
    correction: Correction,
) -> Iterator[Step]:
    eta = settings.eta(1.0)
    old: Tensor | None = None
    h_old = torch.zeros(())
    for sigma, sigma_next in pairwise(sigmas):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
        else:
            h = (sigma / sigma_next).log()
            width = (1 + eta) * h
            x = _decayed(x, denoised, width, (sigma, sigma_next), eta=eta)
            if old is not None:
                x = x + correction(width) * (h / h_old) * (denoised - old)
            x = _noised(x, (sigma, sigma_next), settings, eta=eta)
            old, h_old = denoised, h
        yield Step(x, denoised, sigma_next)


def dpmpp_3m_sde(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings
) -> Iterator[Step]:
    """SDE-DPM-Solver++(3M): two differences of estimates (k-diffusion)."""
    eta = settings.eta(1.0)
    past: list[tuple[Tensor, Tensor]] = []  # estimate and h of earlier steps, the last one first
    for sigma, sigma_next in pairwise(sigmas):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
        else:
            h = (sigma / sigma_next).log()
            width = (1 + eta) * h
            x = _decayed(x, denoised, width, (sigma, sigma_next), eta=eta)
            x = x + _differences(denoised, h, width, past)
            x = _noised(x, (sigma, sigma_next), settings, eta=eta)
            past = [(denoised, h), *past[:1]]
        yield Step(x, denoised, sigma_next)


def _differences(
    denoised: Tensor, h: Tensor, width: Tensor, past: list[tuple[Tensor, Tensor]]
) -> Tensor:
    """What the first and the second derivative of the estimate add to a step."""
    if not past:
        return torch.zeros_like(denoised)
    phi_2 = torch.expm1(-width) / width + 1
    (before, h_before), *earlier = past
    r0 = h_before / h
    first = (denoised - before) / r0
    if not earlier:
        return phi_2 * first
    before_that, h_that = earlier[0]
    r1 = h_that / h
    second = (before - before_that) / r1
    d2 = (first - second) / (r0 + r1)
    d1 = first + d2 * r0
    phi_3 = phi_2 / width - 0.5
    return phi_2 * d1 - phi_3 * d2


def _decayed(
    x: Tensor, denoised: Tensor, width: Tensor, ends: tuple[Tensor, Tensor], *, eta: float
) -> Tensor:
    """e^-H x + (1 - e^-H) D, where sigma ratio and extra noise are taken out together."""
    sigma, sigma_next = ends
    h = (sigma / sigma_next).log()
    return sigma_next / sigma * (-eta * h).exp() * x - torch.expm1(-width) * denoised


def _noised(
    x: Tensor, ends: tuple[Tensor, Tensor], settings: SamplerSettings, *, eta: float
) -> Tensor:
    sigma, sigma_next = ends
    if not eta:
        return x
    h = (sigma / sigma_next).log()
    deviation = sigma_next * (-torch.expm1(-2 * eta * h)).sqrt() * settings.tuning.noise
    return x + _brownian(settings)(sigma, sigma_next) * deviation


def _brownian(settings: SamplerSettings) -> Brownian:
    assert settings.brownian is not None, "this sampler is marked as one that needs it"
    return settings.brownian
