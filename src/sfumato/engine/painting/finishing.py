"""From latents that are done to pictures with their records."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.engine.asking.standing import tags_of
from sfumato.engine.loading.placement import DTYPES, placement
from sfumato.engine.pictures.colour import corrected
from sfumato.engine.pictures.masks import laid_over
from sfumato.engine.pictures.picture import Picture
from sfumato.engine.pictures.records import Facts, from_request
from sfumato.engine.sampling.levels import AUTOMATIC, resolve
from sfumato.operations.applied import Applied

if TYPE_CHECKING:
    from PIL.Image import Image

    from sfumato.engine.asking.job import Job, Second
    from sfumato.engine.asking.standing import Standing
    from sfumato.engine.model import Model
    from sfumato.engine.painting.hashing import Hashing
    from sfumato.engine.painting.latents import Canvas
    from sfumato.engine.pictures.used import Kind
    from sfumato.engine.request import Hires, Request


@dataclass(frozen=True, slots=True)
class File:
    """A file that had a part in a picture, before anybody asked for its hash."""

    kind: Kind
    name: str
    path: Path


def files_of(reports: Sequence[Applied]) -> list[File]:
    """The adapters among them; a VAE from a file of its own is one of them."""
    return [File(report.kind, report.name, Path(report.path)) for report in reports]


def sentences(reports: Sequence[Applied]) -> list[str]:
    """All that reports say, one sentence each."""
    found: list[str] = []
    for report in reports:
        found += [report.sentence(), *report.notes]
    return found


def composed(image: Image, job: Job, canvas: Canvas) -> Image:
    """A painted picture with the colours and the outside of the one it was painted over."""
    init = job.request.init
    if init is None:
        return image
    if init.color_correction and canvas.shown is not None:
        image = corrected(image, canvas.shown)
    if canvas.masked is not None and init.inpaint is not None and init.inpaint.overlay:
        return laid_over(image, canvas.masked.overlay, canvas.masked.box)
    return image


@dataclass(frozen=True, slots=True)
class Means:
    """What pictures were painted with, beside what was asked for."""

    model: Model
    files: Sequence[File]
    notes: Sequence[str]
    """what should be known of them, one sentence each"""
    standing: Sequence[Standing] = ()
    """what a caller attached"""


def picture(image: Image, job: Job, index: int, means: Means, hashing: Hashing) -> Picture:
    """One picture of a request with its record.

    index: which of the request's pictures it is.
    """
    used = tuple(hashing.used(f.kind, f.name, f.path) for f in means.files)
    tags, unsaid = tags_of(means.standing)
    facts = Facts(
        seed=job.seeds[index],
        width=job.size[0],
        height=job.size[1],
        sampler=job.sampler.name,
        schedule=job.schedule,
        prompt=job.texts.shown + tags,
        negative=job.texts.negative,
        subseed=job.subseeds[index],
        files=used,
        ensd_used=_draws(job),
        init_hash=_init_hash(job),
        precision=_precision(means.model),
    )
    record = from_request(_settled(job, means.model, tags), facts)
    told = tuple(dict.fromkeys((*means.notes, *unsaid)))
    return Picture(image, record, job.seeds[index], used, told, job.request)


def _draws(job: Job) -> bool:
    """Whether noise was drawn on the way, which is what ENSD moves."""
    passes = (job.sampler,) if job.second is None else (job.sampler, job.second.sampler)
    return any(sampler.draws(job.request.tuning) for sampler in passes)


def _settled(job: Job, model: Model, tags: str) -> Request:
    """The request with what it left open or to styles, as a record tells it."""
    request = replace(job.request, weights=model.weights)
    if job.second is None or request.hires is None:
        return request
    texts, hires = job.second.texts, request.hires
    told = replace(
        hires,
        sampler=job.second.sampler.name if hires.sampler else "",
        schedule=_second_schedule(job, job.second, hires),
        prompt=texts.shown + tags if hires.prompt else "",
        negative=texts.negative if hires.negative else "",
    )
    return replace(request, hires=told)


def _second_schedule(job: Job, second: Second, hires: Hires) -> str:
    """The second pass's schedule, where it was asked for or is not what the first one's implies."""
    implied = resolve(second.sampler, job.schedule)
    same = second.schedule == (AUTOMATIC if implied is None else implied.name)
    return "" if same and not hires.schedule else second.schedule


def _precision(model: Model) -> str:
    """ "fp16" and the like; empty for what the device computes in by itself."""
    where = model.placement
    if where.dtype == placement(where.device).dtype:
        return ""
    return next(name for name, dtype in DTYPES.items() if dtype == where.dtype)


def _init_hash(job: Job) -> str:
    """MD5 of the pixels that painting started from, as A1111 tells it."""
    if job.request.init is None:
        return ""
    pixels = job.request.init.image.convert("RGB").tobytes()
    return hashlib.md5(pixels, usedforsecurity=False).hexdigest()
