"""Schedules: which noise levels a sampler visits, under the names of AUTOMATIC1111's web UI."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sfumato.engine.sampling.beta import quantile
from sfumato.engine.sampling.discretisation import Discretisation


@dataclass(frozen=True, slots=True)
class Span:
    """All that a schedule is made from."""

    steps: int
    sigma_min: float
    sigma_max: float
    table: Discretisation
    rho: float = 0.0
    """0 for the schedule's own"""
    beta: tuple[float, float] = (0.6, 0.6)
    xl: bool = False
    """for SDXL, which has its own Align Your Steps"""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A named way from much noise to none."""

    name: str
    """as pictures say it: "Karras" """
    alias: str
    """as the HTTP API says it: "karras" """
    sigmas: Callable[[Span], Tensor]
    """falling levels; the last one is 0, but for KL Optimal"""


def uniform(span: Span) -> Tensor:
    """Even timesteps over the whole table, both ends included."""
    return _ended(span.table.t_to_sigma(_times(span.table, span.steps)))


def karras(span: Span) -> Tensor:
    """Equation 5 of Karras et al. (2022), https://arxiv.org/abs/2206.00364; rho is 7."""
    return karras_sigmas(span.steps, span.sigma_min, span.sigma_max, rho=span.rho or 7.0)


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, *, rho: float = 7.0) -> Tensor:
    """`steps` levels and 0."""
    ramp = torch.linspace(0, 1, steps)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return _ended((high + ramp * (low - high)) ** rho)


def exponential(span: Span) -> Tensor:
    """Even in log sigma."""
    return _ended(_even(math.log(span.sigma_max), math.log(span.sigma_min), span.steps).exp())


def polyexponential(span: Span) -> Tensor:
    """Log sigma falls as a power `rho`; 1 is `exponential`."""
    ramp = torch.linspace(1, 0, span.steps) ** (span.rho or 1.0)
    high, low = math.log(span.sigma_max), math.log(span.sigma_min)
    return _ended(torch.exp(ramp * (high - low) + low))


def normal(span: Span) -> Tensor:
    """Even timesteps between two levels."""
    return _ended(span.table.t_to_sigma(_even(*_ends(span), span.steps)))


def sgm_uniform(span: Span) -> Tensor:
    """Even timesteps, the last of which is left out (Stability AI's generative-models)."""
    return _ended(span.table.t_to_sigma(_even(*_ends(span), span.steps + 1)[:-1]))


def kl_optimal(span: Span) -> Tensor:
    """Even in the arc tangent of sigma; it ends at the smallest level and not at 0.

    Sabour et al. (2024), https://arxiv.org/abs/2404.14507, section 3.
    """
    share = torch.arange(span.steps + 1) / span.steps
    low, high = math.atan(span.sigma_min), math.atan(span.sigma_max)
    return torch.tan(share * low + (1.0 - share) * high)


ALIGNED = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)
ALIGNED_XL = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029)


def align_your_steps(span: Span) -> Tensor:
    """Ten steps that were searched for, and log-linear in between (same paper)."""
    table = ALIGNED_XL if span.xl else ALIGNED
    if span.steps == len(table):
        return _ended(torch.tensor(table))
    logs = np.log(table[::-1])
    at = np.linspace(0, 1, span.steps)
    found = np.exp(np.interp(at, np.linspace(0, 1, len(table)), logs))[::-1]
    return _ended(torch.tensor(found.tolist()))


def simple(span: Span) -> Tensor:
    """Every so manyth entry of the table, from its end."""
    sigmas = span.table.sigmas
    spacing = len(sigmas) / span.steps
    return _ended(sigmas[[-(1 + int(i * spacing)) for i in range(span.steps)]])


def ddim(span: Span) -> Tensor:
    """Every so manyth entry from the second on: may be more than was asked for."""
    sigmas = span.table.sigmas
    return _ended(sigmas[1 :: max(len(sigmas) // span.steps, 1)].flip(0))


def beta(span: Span) -> Tensor:
    """Quantiles of a beta distribution, linear in sigma (ComfyUI's are linear in the timestep).

    Lee et al. (2024), https://arxiv.org/abs/2407.12173.
    """
    at = np.linspace(1, 0, span.steps)
    shares = torch.tensor([quantile(float(p), *span.beta) for p in at], dtype=torch.float64)
    levels = span.sigma_min + shares * (span.sigma_max - span.sigma_min)
    return _ended(levels.float())


SCHEDULES = (
    Schedule("Uniform", "uniform", uniform),
    Schedule("Karras", "karras", karras),
    Schedule("Exponential", "exponential", exponential),
    Schedule("Polyexponential", "polyexponential", polyexponential),
    Schedule("SGM Uniform", "sgm_uniform", sgm_uniform),
    Schedule("KL Optimal", "kl_optimal", kl_optimal),
    Schedule("Align Your Steps", "align_your_steps", align_your_steps),
    Schedule("Simple", "simple", simple),
    Schedule("Normal", "normal", normal),
    Schedule("DDIM", "ddim", ddim),
    Schedule("Beta", "beta", beta),
)

AUTOMATIC = "Automatic"
"""the schedule that a sampler has of its own"""


def _ended(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas, sigmas.new_zeros(1)])


def _even(start: float, end: float, steps: int) -> Tensor:
    return torch.linspace(start, end, steps)


def _ends(span: Span) -> tuple[float, float]:
    ends = torch.tensor([span.sigma_max, span.sigma_min])
    times = span.table.sigma_to_t(ends)
    return float(times[0]), float(times[1])


def _times(table: Discretisation, steps: int) -> Tensor:
    """Even timesteps from the last entry of the table to the first."""
    times = table.times
    last = len(table.sigmas) - 1
    if times is None:
        return _even(last, 0, steps)
    return _even(float(times[-1]), float(times[0]), steps)
