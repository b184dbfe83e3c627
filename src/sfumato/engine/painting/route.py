"""The noise levels that one pass goes through, and the latent that it starts with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from sfumato.engine.sampling.discretisation import Discretisation, discretisation
from sfumato.engine.sampling.levels import sigmas
from sfumato.engine.sampling.strength import picture_steps
from sfumato.engine.sampling.timesteps import timestep_grid

if TYPE_CHECKING:
    from sfumato.engine.asking.job import Job
    from sfumato.engine.model import Trained
    from sfumato.engine.request import Request
    from sfumato.engine.sampling.sampler import Sampler


@dataclass(frozen=True, slots=True)
class Route:
    """The levels of one pass."""

    sampler: Sampler
    table: Discretisation
    """the model's own, or the sampler's"""
    whole: Tensor
    """the schedule that the levels are part of: falling sigmas, or rising timesteps"""
    levels: Tensor
    """those that are gone through"""
    start: Tensor
    """the level of the first latent, (): a sigma, or a timestep"""
    over: bool
    """True where a picture is painted over, False from noise alone"""

    @property
    def steps(self) -> int:
        """Steps that will be made, but for samplers that decide by themselves."""
        if self.sampler.kind == "sigma":
            return len(self.levels) - 1
        return len(self.levels) if self.sampler.full else max(0, len(self.levels) - 1)


def table_of(request: Request, model: Trained) -> Discretisation:
    """The noise levels that a model was trained at, and what a request makes of them."""
    return discretisation(
        zero_snr=model.zero_snr or request.zero_snr,
        half_alphas=request.half_alphas,
        quantize=request.tuning.quantize,
    )


def routes(job: Job, model: Trained) -> tuple[Route, Route | None]:
    """The levels of the first pass, and of the second where there is one."""
    request, init = job.request, job.request.init
    first = route(
        job.sampler,
        job.schedule,
        request.steps,
        request,
        model,
        denoise=None if init is None else init.denoise,
        exact=init is not None and init.exact_steps,
    )
    if job.second is None or request.hires is None:
        return first, None
    own, share = job.second, request.hires.denoise
    second = route(own.sampler, own.schedule, own.steps, request, model, denoise=share, exact=True)
    return first, second


def route(
    sampler: Sampler,
    schedule: str,
    steps: int,
    request: Request,
    model: Trained,
    *,
    denoise: float | None = None,
    exact: bool = False,
) -> Route:
    """The levels of a pass: all, or those that painting over a picture takes.

    denoise: how much of the picture is painted anew; None from noise alone. exact: see
    `sampling.strength.picture_steps`.
    """
    table = table_of(request, model)
    length, encode = steps, steps - 1
    if denoise is not None:
        length, encode = picture_steps(steps, denoise, exact=exact)
    if sampler.kind == "timestep":
        return _timesteps(sampler, table, length, encode, request, over=denoise is not None)
    own = sampler.levels(table) if sampler.levels else table
    if not length:
        nothing = own.sigmas[:0]
        return Route(sampler, own, nothing, nothing.new_zeros(1), nothing.new_zeros(()), True)
    whole = sigmas(schedule, length, table, request.tuning, model.family, sampler=sampler)
    levels = whole if denoise is None else whole[length - encode - 1 :]
    return Route(sampler, own, whole, levels, levels[0], denoise is not None)


def _timesteps(
    sampler: Sampler,
    table: Discretisation,
    steps: int,
    encode: int,
    request: Request,
    *,
    over: bool,
) -> Route:
    """A1111: a picture is brought to timestep `encode` of the grid, and the ones below are run."""
    if not steps:
        nothing = timestep_grid(1)[:0]
        return Route(sampler, table, nothing, nothing, nothing.new_zeros(()), over)
    whole = timestep_grid(steps + request.tuning.discard_penultimate)
    levels = whole[:encode] if over else whole
    place = min(encode, len(whole) - 1) if over else len(whole) - 1
    return Route(sampler, table, whole, levels, whole[place], over)


def first_latent(way: Route, noise: Tensor, latent: Tensor | None, request: Request) -> Tensor:
    """What sampling starts from (b, 4, h, w): noise, or a picture's latent with noise on it."""
    extra = 0.0
    if request.init is not None and way.over:
        noise = noise * request.init.noise
        extra = request.init.extra_noise
    level = way.start
    if way.sampler.kind == "timestep":
        alpha = way.table.alphas[level]
        if latent is None:
            return noise
        return latent * alpha.sqrt() + noise * ((1 - alpha).sqrt() + extra)
    if latent is not None:
        return latent + noise * (level + extra)
    return noise * ((1 + level**2).sqrt() if request.tuning.sgm_noise else level)
