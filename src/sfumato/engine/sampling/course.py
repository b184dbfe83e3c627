"""The course of one pass: which levels a sampler visits, what it starts from, and its run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sfumato.engine.denoiser.forms import Asked, Prediction, denoiser, predictor
from sfumato.engine.denoiser.masks import masked, masked_predictor
from sfumato.engine.model import Family
from sfumato.engine.request import Tuning
from sfumato.engine.sampling.discretisation import Discretisation
from sfumato.engine.sampling.levels import sigmas
from sfumato.engine.sampling.sampler import Brownian, Sampler, SamplerSettings
from sfumato.engine.sampling.strength import picture_steps
from sfumato.engine.sampling.timesteps import timestep_grid
from sfumato.engine.step import Step


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """A pass that is settled, but for the noise and the network."""

    sampler: Sampler
    table: Discretisation
    """the levels that the network is asked at"""
    tuning: Tuning
    whole: Tensor
    """falling sigmas of the whole schedule: what Brownian noise spans; rising timesteps for
    samplers of that kind"""
    levels: Tensor
    """the part of them that is run"""
    resumed: bool
    """starts from a picture"""
    start: Tensor
    """sigma of the noise that is added to the picture, or ᾱ for samplers in timesteps; ()"""

    @property
    def steps(self) -> int:
        """Steps that will be yielded; DPM adaptive decides by itself."""
        ends_early = self.sampler.kind == "sigma" or not self.sampler.full
        return max(len(self.levels) - ends_early, 0)

    def begin(
        self, noise: Tensor, picture: Tensor | None = None, *, extra_noise: float = 0.0
    ) -> Tensor:
        """What the run starts from, (b, c, h, w).

        noise: unit noise (b, c, h, w), times `Init.noise`. picture: a latent (1 or b, c, h, w),
        where the course is `resumed`. extra_noise: more of the same noise, in units of the latent.
        """
        if picture is None:
            if self.sampler.kind == "timestep":
                return noise
            sgm = self.tuning.sgm_noise
            return noise * ((1 + self.start**2).sqrt() if sgm else self.start)
        if not len(self.levels):
            return picture.expand_as(noise).clone()
        if self.sampler.kind == "timestep":
            x = picture * self.start.sqrt() + noise * (1 - self.start).sqrt()
        else:
            x = picture + noise * self.start
        return x + noise * extra_noise if extra_noise else x

    def run(
        self,
        guided: Asked,
        x: Tensor,
        noise: Callable[[], Tensor],
        *,
        prediction: Prediction = "epsilon",
        brownian: Brownian | None = None,
        mask: tuple[Tensor, Tensor] | None = None,
    ) -> Iterator[Step]:
        """Steps from x (b, c, h, w) on; none where there is nothing to paint.

        noise: draws what the sampler adds, (b, c, h, w). brownian: needed where the sampler is
        marked so. mask: (1 or b, 1, h, w), 1 where it is painted, and the clean latent outside it.
        """
        if not len(self.levels):
            return iter(())
        settings = SamplerSettings(
            noise, brownian, self.tuning, table=self.table, resumed=self.resumed
        )
        if self.sampler.sigma is not None:
            denoise = denoiser(guided, self.table, prediction)
            denoise = masked(denoise, *mask) if mask else denoise
            return self.sampler.sigma(denoise, x, self.levels, settings)
        assert self.sampler.timestep is not None
        predict = predictor(guided, self.table, prediction)
        predict = masked_predictor(predict, *mask) if mask else predict
        return self.sampler.timestep(predict, x, self.levels, self.table, settings)


def course(
    sampler: Sampler,
    schedule: str,
    steps: int,
    table: Discretisation,
    *,
    tuning: Tuning | None = None,
    family: Family = "sd1",
    denoise: float | None = None,
    exact: bool = False,
) -> Course:
    """Settle a pass of `steps` with a schedule's name, "Automatic" among them.

    table: the model's levels. denoise: 0 … 1, where painting starts from a picture; `exact` then
    runs all of `steps` (`picture_steps`), as every second pass of hires does.
    Raises UsageError for a name that is not known, or no steps at all.
    """
    tuning = tuning or Tuning()
    length, last = (steps, steps) if denoise is None else picture_steps(steps, denoise, exact=exact)
    own = sampler.levels(table) if sampler.levels else table
    settled = Course(
        sampler, own, tuning, torch.empty(0), torch.empty(0), denoise is not None, torch.ones(())
    )
    if length == 0 and denoise is not None:
        return settled
    if sampler.kind == "timestep":
        grid = timestep_grid(length + tuning.discard_penultimate)
        if denoise is None:
            return replace(settled, whole=grid, levels=grid)
        last = min(last, len(grid) - 1)
        return replace(settled, whole=grid, levels=grid[:last], start=own.alphas[grid[last]])
    whole = sigmas(schedule, length, table, tuning, family, sampler=sampler)
    skipped = 0 if denoise is None else min(length - last - 1, len(whole) - 2)
    levels = whole[skipped:]
    return replace(settled, whole=whole, levels=levels, start=levels[0])
