"""From latents that are done to pictures with their records."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.engine.applied import Applied
from sfumato.engine.pictures.colour import corrected
from sfumato.engine.pictures.masks import laid_over
from sfumato.engine.pictures.picture import Picture
from sfumato.engine.pictures.records import Facts, from_request
from sfumato.engine.pictures.used import FileUsed

if TYPE_CHECKING:
    from PIL.Image import Image

    from sfumato.engine.hashing import Hashing
    from sfumato.engine.job import Job
    from sfumato.engine.latents import Canvas
    from sfumato.engine.pictures.used import Kind


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


def picture(
    image: Image,
    job: Job,
    index: int,
    files: Sequence[File],
    hashing: Hashing,
    notes: Sequence[str],
) -> Picture:
    """One picture of a request with its record.

    index: which of the request's pictures it is.
    """
    used: list[FileUsed] = [hashing.used(f.kind, f.name, f.path) for f in files]
    facts = Facts(
        seed=job.seeds[index],
        width=job.size[0],
        height=job.size[1],
        sampler=job.sampler.name,
        schedule=job.schedule,
        prompt=job.texts.shown,
        negative=job.texts.negative,
        subseed=job.subseeds[index],
        files=tuple(used),
        ensd_used=job.sampler.ensd and job.request.tuning.eta != 0,
        init_hash=_init_hash(job),
    )
    record = from_request(job.request, facts)
    told = tuple(dict.fromkeys(notes))
    return Picture(image, record, job.seeds[index], tuple(used), told, job.request)


def _init_hash(job: Job) -> str:
    """MD5 of the pixels that painting started from, as A1111 tells it."""
    if job.request.init is None:
        return ""
    pixels = job.request.init.image.convert("RGB").tobytes()
    return hashlib.md5(pixels, usedforsecurity=False).hexdigest()
