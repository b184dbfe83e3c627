"""One pass of sampling: from noise, or a picture with noise on it, to a clean latent."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sfumato.engine.denoiser import (
    Guided,
    Switched,
    blended,
    by_calls,
    by_noise,
    denoiser,
    masked,
    masked_predictor,
    predictor,
)
from sfumato.engine.noise.brownian import brownian
from sfumato.engine.noise.variation import PictureNoise
from sfumato.engine.painting.reasons import FARTHEST, why_far, why_nan
from sfumato.engine.painting.route import first_latent
from sfumato.engine.sampling.sampler import SamplerSettings
from sfumato.errors import SfumatoError

if TYPE_CHECKING:
    from sfumato.engine.painting.conditions import Conditions
    from sfumato.engine.painting.latents import Canvas
    from sfumato.engine.painting.route import Route
    from sfumato.engine.painting.side import Side
    from sfumato.engine.request import Request
    from sfumato.engine.step import Step


@dataclass(frozen=True, slots=True)
class Pass:
    """All that one pass takes."""

    side: Side
    way: Route
    conditions: Conditions
    request: Request
    seeds: tuple[int, ...]
    subseeds: tuple[int, ...]
    cells: tuple[int, int]
    """width and height of the latent"""
    canvas: Canvas
    latents: Tensor | None = None
    """(b, 4, h, w) that is painted over; None for the canvas's own, or for noise alone"""
    refiner: Callable[[], tuple[Side, Conditions]] | None = None
    """gives another model, and what it is told, when its turn comes"""


def sample(work: Pass) -> Generator[Step, None, Tensor]:
    """Every step of a pass; returns the latents (b, 4, h, w), float32 on the model's device.

    Raises SfumatoError where the UNet gives NaN, or latents that no VAE could show.
    """
    way, where = work.way, work.side.model.placement.device
    source = _noise(work)
    shape = (work.side.model.unet_sizes.outputs, work.cells[1], work.cells[0])
    noise = source.first(shape)
    latent = work.latents if work.latents is not None else work.canvas.latent
    latent = None if latent is None else latent.to(where)
    if not way.steps and latent is not None:
        return latent.expand(len(work.seeds), -1, -1, -1).clone()
    x = first_latent(way, noise, latent, work.request)
    mask = work.canvas.mask
    mask = None if mask is None else mask.to(where)
    for step in _steps(work, x, source, latent, mask):
        if not bool(torch.isfinite(step.x).all()):
            raise SfumatoError(why_nan(work.side, work.conditions, work.request))
        x = step.x
        yield step
    if float(x.abs().max()) > FARTHEST:
        reached = float(x.abs().max())
        raise SfumatoError(why_far(work.side, work.conditions, work.request, reached))
    return x if mask is None or latent is None else blended(x, mask, latent)


def _noise(work: Pass) -> PictureNoise:
    request = work.request
    return PictureNoise(
        work.seeds,
        work.subseeds,
        request.variation,
        request.rng,
        request.ensd,
        device=work.side.model.placement.device,
    )


def _steps(
    work: Pass, x: Tensor, source: PictureNoise, latent: Tensor | None, mask: Tensor | None
) -> Iterator[Step]:
    way, model = work.way, work.side.model
    asked = _asked(work)
    settings = SamplerSettings(
        noise=source.next,
        brownian=_brownian(work, x) if way.sampler.brownian else None,
        tuning=work.request.tuning,
        table=way.table,
        resumed=way.over,
    )
    if way.sampler.sigma is not None:
        denoise = denoiser(asked, way.table, model.prediction)
        if mask is not None and latent is not None:
            denoise = masked(denoise, mask, latent)
        return way.sampler.sigma(denoise, x, way.levels, settings)
    assert way.sampler.timestep is not None
    predict = predictor(asked, way.table, model.prediction)
    if mask is not None and latent is not None:
        predict = masked_predictor(predict, mask, latent)
    return way.sampler.timestep(predict, x, way.levels, way.table, settings)


def _brownian(work: Pass, x: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return brownian(work.seeds, x.shape[1:], work.way.whole, work.request.rng, device=x.device)


def _asked(work: Pass) -> Guided | Switched:
    guided = _guided(work, work.side, work.conditions)
    if work.refiner is None:
        return guided
    refine, share = work.refiner, work.request.refiner_switch
    calls = work.way.sampler.calls(work.way.steps)
    by_steps = work.request.refiner_by_steps
    reached = by_calls(calls, share) if by_steps else by_noise(work.way.table, share)
    return Switched(guided, reached, lambda: _guided(work, *refine()))


def _guided(work: Pass, side: Side, conditions: Conditions) -> Guided:
    model = side.model
    return Guided(
        network=side.unet,  # pyright: ignore[reportArgumentType]
        positive=conditions.positive,
        negative=conditions.negative,
        guidance=work.request.guidance,
        extra=work.canvas.extra if model.unet_sizes.inputs > 4 else None,
        edits=model.variant == "ip2p",
        together=True,
        total=work.way.sampler.calls(work.way.steps),
        factor=work.way.sampler.cfg_factor,
    )
