"""UniPC: a predictor, and a corrector that costs no evaluation, of any order.

Zhao et al. (2023), https://arxiv.org/abs/2302.04867, in the form that predicts clean latents;
h = λ(next) - λ with λ = ln(α / σ). Time runs from 1 to 1/1000, as in the authors' program.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfumato.engine.request import Tuning
from sfumato.engine.sampling.discretisation import Discretisation
from sfumato.engine.sampling.sampler import SamplerSettings
from sfumato.engine.step import Predictor, Step

Vector = NDArray[np.floating]


class _Level(NamedTuple):
    """Where the solver is in its own time."""

    t: Tensor
    """timestep that the network is given, ()"""
    alpha: float
    """√ᾱ"""
    sigma: float
    """√(1 - ᾱ)"""
    lam: float


class _Point(NamedTuple):
    """A level that was visited, and the clean latent that was predicted there."""

    level: _Level
    denoised: Tensor


def unipc(
    predict: Predictor,
    x: Tensor,
    timesteps: Tensor,
    table: Discretisation,
    settings: SamplerSettings,
) -> Iterator[Step]:
    """As many steps as `timesteps` (n,) has; where they are is decided by `Tuning.unipc_skip`.

    `settings.resumed` starts at the last of `timesteps` and not from noise alone.
    """
    levels = _levels(timesteps, table, settings)
    order = min(settings.tuning.unipc_order, len(levels) - 1)
    past = [_point(predict, x, levels[0])]
    for index, level in enumerate(levels[1:], 1):
        usable = min(order, index)
        if settings.tuning.unipc_lower_order_final and index >= order:
            usable = min(order, len(levels) - index)
        step = _Update(x, level, past[: -usable - 1 : -1], settings.tuning)
        x, denoised = step.predicted(), past[-1].denoised
        if index < len(levels) - 1:
            point = _point(predict, x, level)
            x, denoised = step.corrected(point.denoised), point.denoised
            past = [*past, point][-order:]
        yield Step(x, denoised, torch.tensor(level.sigma / level.alpha))


def _point(predict: Predictor, x: Tensor, level: _Level) -> _Point:
    eps = predict(x, level.t).eps
    return _Point(level, (x - level.sigma * eps) / level.alpha)


def _levels(timesteps: Tensor, table: Discretisation, settings: SamplerSettings) -> list[_Level]:
    """The n + 1 levels of a run, from much noise to little."""
    count, steps = len(table.alphas), len(timesteps)
    start = (float(timesteps[-1]) + 1) / count if settings.resumed else 1.0
    end = 1 / count
    skip = settings.tuning.unipc_skip
    if skip == "logSNR":
        lams = _even(_level(start, table).lam, _level(end, table).lam, steps)
        times = [_time(lam, table) for lam in lams]
    elif skip == "time_quadratic":
        times = [root**2 for root in _even(start**0.5, end**0.5, steps)]
    else:
        times = _even(start, end, steps)
    return [_level(time, table) for time in times]


def _even(start: float, end: float, steps: int) -> list[float]:
    return [start + (end - start) * i / steps for i in range(steps + 1)]


def _level(time: float, table: Discretisation) -> _Level:
    count = len(table.alphas)
    t = torch.tensor((time - 1 / count) * count)
    log = float(table.alpha_at(t).log()) / 2
    sigma = math.sqrt(-math.expm1(2 * log))
    return _Level(t, math.exp(log), sigma, log - math.log(sigma))


def _time(lam: float, table: Discretisation) -> float:
    """The time at which λ is reached; log ᾱ is linear in it between entries."""
    logs: Vector = table.alphas.double().log().numpy()
    count = len(logs)
    log = -float(np.logaddexp(0, -2 * lam))
    return float(np.interp(log, logs[::-1], np.arange(count, 0, -1) / count))


@dataclass(frozen=True, slots=True)
class _Update:
    """One step of UniPC from the newest of earlier points to a level."""

    x: Tensor
    level: _Level
    past: Sequence[_Point]
    """as many as the order, the newest first"""
    tuning: Tuning

    def predicted(self) -> Tensor:
        """UniP: without the estimate at the new level."""
        return self._moved(self._weights(None), None)

    def corrected(self, denoised: Tensor) -> Tensor:
        """UniC: with it."""
        return self._moved(self._weights(denoised), denoised)

    @property
    def _hh(self) -> float:
        """-h: minus the step in λ."""
        return self.past[0].level.lam - self.level.lam

    def _ratios(self) -> list[float]:
        """Earlier steps over this one, and 1 for the new level."""
        now = self.past[0].level.lam
        h = self.level.lam - now
        return [(point.level.lam - now) / h for point in self.past[1:]] + [1.0]

    def _weights(self, denoised: Tensor | None) -> Vector:
        """Factors of the differences of estimates: those to earlier points, then the new one."""
        ratios = np.array(self._ratios() if denoised is not None else self._ratios()[:-1])
        if not len(ratios):
            return np.zeros(0)
        if self.tuning.unipc_variant == "vary_coeff":
            return _varying(ratios, self._hh)
        if len(ratios) == 1:  # the authors' simplification, and all that bh1 and bh2 differ in
            bh1 = self.tuning.unipc_variant == "bh1"
            return np.array([0.5 * (self._hh if bh1 else math.expm1(self._hh))])
        powers = np.vander(ratios, increasing=True).T
        return np.linalg.solve(powers, _moments(len(ratios), self._hh))

    def _moved(self, weights: Vector, denoised: Tensor | None) -> Tensor:
        """The exact way for a constant estimate, and what its changes add."""
        newest, level = self.past[0], self.level
        before = newest.level
        x = (level.sigma / before.sigma) * self.x
        x = x - level.alpha * math.expm1(self._hh) * newest.denoised
        estimates = [point.denoised for point in self.past[1:]]
        estimates += [] if denoised is None else [denoised]
        ratios = self._ratios()
        for weight, ratio, estimate in zip(weights.tolist(), ratios, estimates, strict=False):
            x = x - level.alpha * weight / ratio * (estimate - newest.denoised)
        return x


def _moments(order: int, hh: float) -> Vector:
    """φ_(k+1) k!, k from 1: what the weighted powers of the ratios must add up to (theorem 3.1)."""
    found: list[float] = []
    phi, factorial = math.expm1(hh) / hh - 1, 1.0
    for k in range(1, order + 1):
        found.append(phi * factorial)
        factorial *= k + 1
        phi = phi / hh - 1 / factorial
    return np.array(found)


def _varying(ratios: Vector, hh: float) -> Vector:
    """The variant whose coefficients vary: appendix C of the paper."""
    order = len(ratios)
    columns = [ratios**k / math.factorial(k + 1) for k in range(order)]
    inverse = np.linalg.inv(np.stack(columns, axis=1))
    phis = [m / math.factorial(k) for k, m in enumerate(_moments(order, hh), 1)]
    return np.array(phis) @ inverse
