"""DPM-Solver in stages of one to three evaluations, with steps given or chosen as it goes.

Lu et al. (2022), https://arxiv.org/abs/2206.00927, in k-diffusion's form: λ = -ln sigma.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sfumato.engine.sampling.ancestral import ancestral, slope
from sfumato.engine.sampling.sampler import SamplerSettings
from sfumato.engine.step import Denoiser, Step


@dataclass(frozen=True, slots=True)
class _Stages:
    """A step from `start` to `end`, both λ, and the slopes that were found on its way."""

    denoise: Denoiser
    x: Tensor
    start: Tensor
    end: Tensor
    denoised: Tensor
    eps: Tensor
    inner: dict[float, Tensor] = field(default_factory=dict[float, Tensor])
    """share of the step → the slope there, for orders that have it in common"""

    @property
    def h(self) -> Tensor:
        return self.end - self.start

    def first(self, share: float = 1.0) -> Tensor:
        """DPM-Solver-1 to `share` of the step."""
        return self.x - self._sigma(share) * torch.expm1(share * self.h) * self.eps

    def second(self, share: float = 0.5) -> Tensor:
        """DPM-Solver-2 with its inner point at `share`."""
        weight = self._sigma(1.0) / (2 * share) * torch.expm1(self.h)
        return self.first() - weight * (self._inner(share) - self.eps)

    def third(self) -> Tensor:
        """DPM-Solver-3, inner points at one and two thirds."""
        one, two = 1 / 3, 2 / 3
        h = two * self.h
        weight = self._sigma(two) * (two / one) * (torch.expm1(h) / h - 1)
        guess = self.first(two) - weight * (self._inner(one) - self.eps)
        weight = self._sigma(1.0) / two * (torch.expm1(self.h) / self.h - 1)
        return self.first() - weight * (self._slope(guess, two) - self.eps)

    def _inner(self, share: float) -> Tensor:
        if share not in self.inner:
            self.inner[share] = self._slope(self.first(share), share)
        return self.inner[share]

    def _slope(self, x: Tensor, share: float) -> Tensor:
        sigma = self._sigma(share)
        return slope(x, sigma, self.denoise(x, sigma))

    def _sigma(self, share: float) -> Tensor:
        return (-self.start - share * self.h).exp()


@dataclass(frozen=True, slots=True)
class _Move:
    """From one λ to another, with the noise that is to be added there."""

    end: Tensor
    """λ that the solver goes to, past the next one where noise is added"""
    up: Tensor
    """deviation of the noise"""


def _move(start: Tensor, following: Tensor, last: Tensor, eta: float) -> _Move:
    if not eta:
        return _Move(following, torch.zeros_like(following))
    down, _ = ancestral((-start).exp(), (-following).exp(), eta)
    end = torch.minimum(last, -down.log())
    return _Move(end, ((-2 * following).exp() - (-2 * end).exp()).clamp(min=0).sqrt())


def _stages(denoise: Denoiser, x: Tensor, start: Tensor, end: Tensor) -> _Stages:
    sigma = (-start).exp()
    denoised = denoise(x, sigma)
    return _Stages(denoise, x, start, end, denoised, slope(x, sigma, denoised))


def dpm_fast(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings
) -> Iterator[Step]:
    """Steps of order three, and the rest: as many evaluations as `sigmas` has steps.

    Of `sigmas` only the largest counts: the end is the model's smallest level.
    """
    eta = settings.eta(1.0)
    first, last = _ends(sigmas, settings)
    if first >= last:
        return
    orders = _orders(len(sigmas) - 1)
    borders = torch.linspace(float(first), float(last), len(orders) + 1)
    for i, order in enumerate(orders):
        move = _move(borders[i], borders[i + 1], last, eta)
        stages = _stages(denoise, x, borders[i], move.end)
        x = (stages.first, stages.second, stages.third)[order - 1]()
        x = _noised(x, move, settings)
        yield Step(x, stages.denoised, (-borders[i + 1]).exp())


def _orders(evaluations: int) -> tuple[int, ...]:
    """Orders of the steps, which are the numbers of their evaluations."""
    threes, rest = divmod(evaluations, 3)
    if rest:
        return (3,) * threes + (rest,)
    return (3,) * (threes - 1) + (2, 1)


def dpm_adaptive(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings
) -> Iterator[Step]:
    """Orders two and three compared at every step, whose size follows from how they differ.

    Of `sigmas` only the largest counts: the end is the model's smallest level. The error is that of
    all pictures together: a batch takes other steps than its pictures would alone.
    """
    eta = settings.eta(1.0)
    start, last = _ends(sigmas, settings)
    control = _Control(order=1.5 if eta else 3.0)
    previous = x
    while start < last - 1e-5:
        following = torch.minimum(last, start + control.h)
        move = _move(start, following, last, eta)
        stages = _stages(denoise, x, start, move.end)
        low, high = stages.second(1 / 3), stages.third()
        allowed = torch.maximum(low.abs(), previous.abs()).mul(RELATIVE).clamp(min=ABSOLUTE)
        difference = ((low - high) / allowed).square().mean().sqrt()
        if control.accepts(float(difference)):
            previous, start = low, following
            x = _noised(high, move, settings)
            yield Step(x, stages.denoised, (-start).exp())


RELATIVE, ABSOLUTE = 0.05, 0.0078
"""differences that are allowed"""


@dataclass(slots=True)
class _Control:
    """The step size: k-diffusion's controller with only its integral part."""

    order: float
    h: float = 0.05
    safety: float = 0.81

    def accepts(self, error: float) -> bool:
        """Whether a step with this error is taken; the next one is sized by it either way."""
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / self.order) - 1)
        self.h *= factor
        return factor >= self.safety


def _ends(sigmas: Tensor, settings: SamplerSettings) -> tuple[Tensor, Tensor]:
    """λ at the beginning and at the end, which is the smallest level that is known of."""
    table = settings.table
    smallest = sigmas[sigmas > 0].min() if table is None else table.sigmas[0]
    return -sigmas[0].log(), -smallest.log()


def _noised(x: Tensor, move: _Move, settings: SamplerSettings) -> Tensor:
    if not settings.eta(1.0):
        return x
    return x + settings.noise() * (settings.tuning.noise * move.up)
