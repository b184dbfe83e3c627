"""A request with all that it leaves open settled: sizes, seeds, samplers, texts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sfumato.catalogue.families import TITLES
from sfumato.engine.asking.bounds import LARGEST, check_bounds
from sfumato.engine.asking.texts import Texts, hires_texts, remarks, texts
from sfumato.engine.asking.typed import typed
from sfumato.engine.noise.generators import draw_seed
from sfumato.engine.noise.variation import picture_seeds
from sfumato.engine.painting.latents import Larger, Size, larger
from sfumato.engine.pictures.geometry import whole_latents
from sfumato.engine.pictures.upscale import Upscaler, find_upscaler
from sfumato.engine.sampling.levels import AUTOMATIC, resolve
from sfumato.engine.sampling.registry import find_sampler
from sfumato.errors import UsageError

if TYPE_CHECKING:
    from sfumato.engine.model import Trained
    from sfumato.engine.prompt.styles import Styles
    from sfumato.engine.request import Request
    from sfumato.engine.sampling.sampler import Sampler
    from sfumato.engine.sampling.schedules import Schedule


@dataclass(frozen=True, slots=True)
class Second:
    """The second pass, at a larger size."""

    to: Larger
    steps: int
    sampler: Sampler
    schedule: str
    upscaler: Upscaler
    texts: Texts


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done."""

    request: Request
    """with its size and seeds settled"""
    size: Size
    """width and height of the first pass"""
    sampler: Sampler
    schedule: str
    """"Automatic" only where the sampler has none of its own"""
    texts: Texts
    seeds: tuple[int, ...]
    """one for each picture"""
    subseeds: tuple[int, ...]
    second: Second | None = None
    notes: tuple[str, ...] = ()


def job(request: Request, model: Trained, styles: Styles) -> Job:
    """Settle a request.

    Raises UsageError, in one sentence with the nearest valid name, for what makes no sense.
    """
    request = typed(request)
    check_bounds(request)
    notes = list(remarks(request, styles))
    asked = _asked_size(request, model)
    size = whole_latents(*asked)
    if size != asked:
        notes.append(
            f"{asked[0]}×{asked[1]} pixels became {size[0]}×{size[1]}: sides are multiples of 8"
        )
    settled = replace(request, width=size[0], height=size[1], seed=_seed(request.seed))
    settled = replace(
        settled, variation=replace(settled.variation, seed=_seed(settled.variation.seed))
    )
    notes += _idle(settled, model)
    sampler, own = find_sampler(request.sampler)
    schedule = _schedule(sampler, own, request.schedule)
    seeds, subseeds = picture_seeds(
        settled.seed,
        settled.variation.seed,
        request.batch * request.count,
        strength=request.variation.strength,
    )
    second = _second(settled, size, sampler, own, styles)
    if second is not None and request.init is not None and request.init.inpaint is not None:
        notes.append("what is painted under a mask is not enlarged: the second pass is left out")
        second = None
    if second is not None:
        notes += _rounded(second.to, settled)
    return Job(
        settled, size, sampler, schedule, texts(request, styles), seeds, subseeds, second,
        tuple(notes),
    )  # fmt: skip


def _idle(request: Request, model: Trained) -> list[str]:
    """What was asked for and has no effect in this model."""
    skip = request.clip_skip
    if skip == 1 or model.family == "sd1" or (model.family == "sdxl" and request.skip_sdxl):
        return []
    how = "; skip_sdxl lets it act on the first text encoder" if model.family == "sdxl" else ""
    return [f"clip skip {skip} has no effect in {TITLES[model.family]} models{how}"]


def _rounded(to: Larger, request: Request) -> list[str]:
    """What became of the size that the second pass was asked for."""
    asked, made = (f"{size[0]}×{size[1]}" for size in (to.asked, to.size))
    if asked == made:
        return []
    return [f"the second pass makes {made} pixels in place of {asked}: sides are multiples of 8"]


def _asked_size(request: Request, model: Trained) -> Size:
    """What was asked for; else the size of the picture it starts from, or the model's own."""
    if request.init is not None and not (request.width or request.height):
        return request.init.image.size
    return request.width or model.side, request.height or model.side


def _seed(seed: int) -> int:
    return draw_seed() if seed < 0 else seed


def _schedule(sampler: Sampler, own: Schedule | None, name: str) -> str:
    """What a sampler's name says wins over what is said beside it."""
    found = own or resolve(sampler, name)
    return AUTOMATIC if found is None else found.name


def _second(
    request: Request, size: Size, first: Sampler, own: Schedule | None, styles: Styles
) -> Second | None:
    hires = request.hires
    if hires is None:
        return None
    sampler, named = find_sampler(hires.sampler) if hires.sampler else (first, own)
    schedule = _schedule(sampler, named, hires.schedule or request.schedule)
    to = larger(request, *size)
    if max(to.size) > LARGEST:
        raise UsageError(f"the second pass would make {to.size[0]}×{to.size[1]} pixels")
    return Second(
        to,
        hires.steps or request.steps,
        sampler,
        schedule,
        find_upscaler(hires.upscaler),
        hires_texts(request, styles),
    )
