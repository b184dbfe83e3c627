"""A job carried out: first pass, second pass, pictures; one group of pictures after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sfumato.engine.autoencoding.load import vae_network
from sfumato.engine.networks.seamless import seamless
from sfumato.engine.noise.variation import PictureNoise
from sfumato.engine.painting.conditions import Calls, Conditions
from sfumato.engine.painting.finishing import File, Means, composed, files_of, picture, sentences
from sfumato.engine.painting.latents import (
    Canvas,
    again,
    canvas_of,
    enlarge,
    fill_latent,
    images,
    plain_canvas,
)
from sfumato.engine.painting.passes import Pass
from sfumato.engine.painting.room import check_room
from sfumato.engine.painting.route import routes
from sfumato.engine.painting.side import Side
from sfumato.engine.painting.underway import Tools, Work, inferring, sampled
from sfumato.engine.pictures.picture import Picture
from sfumato.engine.progress import Progress
from sfumato.engine.prompt.tags import Calls as TagCalls
from sfumato.library.folders import bare

if TYPE_CHECKING:
    from sfumato.engine.asking.job import Job, Second
    from sfumato.engine.asking.texts import Texts
    from sfumato.operations.applied import Applied


def begin(job: Job, side: Side, tools: Tools, vae: tuple[Applied, ...]) -> Work:
    """A job that is about to be carried out; vae: the report on one from a file of its own."""
    if job.request.refiner:
        tools.refiners.find(job.request.refiner)  # before the work, not in the middle of it
    now = Work(job, side, tools, vae, *routes(job, side.model))
    at_once = max(len(indices) for indices in _groups(now))
    for size in (job.size, *((job.second.to.covering,) if job.second is not None else ())):
        check_room(side.model, size, at_once)
    return now


def carry_out(now: Work) -> Iterator[Progress | Picture]:
    """Carry out a job: every step, and every picture when it is finished."""
    job, side, tools = now.job, now.side, now.tools
    vae_network(side.model)  # there must be one: said before the work, not after
    tools.hashing.begin(side.model.path)
    networks = (side.model.unet, vae_network(side.model).module)
    if job.request.tiling:
        for module in networks:
            seamless(module, True)
    try:
        side.need("vae")
        now.canvas = inferring(lambda: _canvas(now))
        for indices in _groups(now):
            yield from _group(now, indices)
    finally:
        if job.request.tiling:
            for module in networks:
                seamless(module, False)


def _groups(now: Work) -> Iterator[list[int]]:
    """Pictures that are painted at once: on the CPU one, so that each is as if alone."""
    request = now.job.request
    second = now.job.second
    alone = now.job.sampler.alone or (second is not None and second.sampler.alone)
    size = 1 if alone or now.side.model.placement.device.type == "cpu" else request.batch
    for batch in range(request.count):
        first = batch * request.batch
        for start in range(first, first + request.batch, size):
            yield list(range(start, min(start + size, first + request.batch)))


def _canvas(now: Work) -> Canvas:
    job, model = now.job, now.side.model
    init = job.request.init
    if init is None:
        return plain_canvas(model, job.size, now.note)
    canvas = canvas_of(model, init, job.size, now.note)
    if init.inpaint is None or canvas.latent is None:
        return canvas
    noise = PictureNoise(job.seeds[: job.request.batch], rng=job.request.rng)
    return fill_latent(canvas, init.inpaint.fill, noise.first(canvas.latent.shape[1:]))


def _group(now: Work, indices: list[int]) -> Iterator[Progress | Picture]:
    job = now.job
    now.reports = {(report.kind, report.name): report for report in now.vae}
    standing = tuple(now.side.attachments.standing)
    conditions = _told(now, job.texts, _calls(now), job.size)
    latents = yield from sampled(now, "paint", _pass(now, indices, conditions), indices)
    if job.second is not None and now.second is not None:
        latents = yield from _larger(now, job.second, indices, latents)
    now.side.need("vae")
    done = inferring(lambda: images(now.side.model, latents, now.note))
    reports = tuple(now.reports.values())
    notes = [*job.notes, *now.side.model.notes, *sentences(reports), *now.notes]
    means = Means(now.side.model, _files(now, reports), notes, standing)
    for index, image in zip(indices, done, strict=True):
        whole = composed(image, job, now.canvas)
        yield picture(whole, job, index, means, now.tools.hashing)


def _pass(now: Work, indices: list[int], conditions: Conditions) -> Pass:
    job = now.job
    canvas = now.canvas
    refined = now.second is None or _refined(now) != "second"
    batch = job.request.batch
    if canvas.latent is not None and len(canvas.latent) > 1:
        canvas = replace(canvas, latent=canvas.latent[[index % batch for index in indices]])
    return Pass(
        now.side,
        now.first,
        conditions,
        job.request,
        tuple(job.seeds[index] for index in indices),
        tuple(job.subseeds[index] for index in indices),
        (job.size[0] // 8, job.size[1] // 8),
        canvas,
        refiner=_refiner(now, job.texts, _calls(now), job.size) if refined else None,
    )


def _refined(now: Work) -> str:
    """Of two passes, the one that a refiner takes part in."""
    hires = now.job.request.hires
    return "second" if hires is None else hires.refiner


def _larger(
    now: Work, second: Second, indices: list[int], latents: Tensor
) -> Generator[Progress, None, Tensor]:
    """The second pass over what the first one made."""
    assert now.second is not None
    model = now.side.model
    now.side.need("vae")
    made, pictures = inferring(
        lambda: enlarge(model, latents.cpu(), second.upscaler, second.to, now.note)
    )
    extra = inferring(lambda: again(model, made, pictures, now.note))
    calls = _calls(now)
    own = Calls(calls.first, second.sampler.calls(second.steps))
    conditions = _told(now, second.texts, own, second.to.size)
    refined = _refined(now) != "first"
    pass_ = replace(
        _pass(now, indices, conditions),
        way=now.second,
        cells=(second.to.size[0] // 8, second.to.size[1] // 8),
        canvas=Canvas(extra=extra),
        latents=made,
        refiner=_refiner(now, second.texts, own, second.to.size) if refined else None,
    )
    return (yield from sampled(now, "enlarge", pass_, indices))


def _told(now: Work, texts: Texts, calls: Calls, size: tuple[int, int]) -> Conditions:
    """Attach what the prompts ask for, and encode them."""
    now.side.ready(texts)
    found = inferring(lambda: now.side.conditions(texts, calls, now.job.request, size))
    now.reports |= {(report.kind, report.name): report for report in now.side.reports()}
    for sentence in now.side.notes:
        now.note(sentence)
    now.side.need("unet")
    return found


def _calls(now: Work) -> Calls:
    return Calls(now.job.sampler.calls(now.job.request.steps))


def _refiner(
    now: Work, texts: Texts, calls: Calls, size: tuple[int, int]
) -> Callable[[], tuple[Side, Conditions]] | None:
    """How the refiner is had when its turn comes; None where there is none."""
    name = now.job.request.refiner
    if not name:
        return None

    def turn() -> tuple[Side, Conditions]:
        with torch.inference_mode(False):  # weights made inside could not be changed outside
            side = now.tools.refiners.get(name, now.side.model)
            now.refiner = side
            same = side.model.family == now.side.model.family
            asked = texts if same else replace(texts, calls=TagCalls())
            if not same and texts.calls.loras:
                now.note("LoRAs are not for the refiner, which is of another family")
            side.attachments.lend(now.side.attachments)
            side.ready(asked)
        found = side.conditions(asked, calls, now.job.request, size)
        return side, found

    return turn


def _files(now: Work, reports: Sequence[Applied]) -> list[File]:
    model = now.side.model
    files = [File("checkpoint", bare(model.path.name), Path(model.path))]
    if now.refiner is not None:
        path = now.refiner.model.path
        files.append(File("refiner", bare(path.name), path))
    return files + [file for file in files_of(reports) if file.path.name]
