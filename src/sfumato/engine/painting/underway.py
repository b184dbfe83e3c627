"""A job under way: what is known of it by now, and the steps of a pass as they are made."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from sfumato.engine.autoencoding.preview import Colours, Previews, show
from sfumato.engine.painting.hashing import Hashing
from sfumato.engine.painting.latents import Canvas
from sfumato.engine.painting.passes import Pass, sample
from sfumato.engine.painting.route import Route
from sfumato.engine.painting.side import Refiners, Side
from sfumato.engine.progress import Progress, Stage

if TYPE_CHECKING:
    from PIL.Image import Image

    from sfumato.engine.asking.job import Job
    from sfumato.engine.step import Step
    from sfumato.operations.applied import Applied

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tools:
    """What a painter keeps beside its model."""

    hashing: Hashing
    previews: Previews
    refiners: Refiners
    colours: Colours | None = None
    """a decoder for previews, in place of a map that is fitted to the VAE"""


Reports = dict[tuple[str, str], "Applied"]
"""kind and name → report"""


@dataclass(slots=True)
class Work:
    """A job under way."""

    job: Job
    side: Side
    tools: Tools
    vae: tuple[Applied, ...]
    first: Route
    second: Route | None
    canvas: Canvas = field(default_factory=Canvas)
    refiner: Side | None = None
    reports: Reports = field(default_factory=dict[tuple[str, str], "Applied"])
    """what became of the files that the pictures at work were to be painted with"""
    notes: list[str] = field(default_factory=list[str])
    """what was found out on the way"""
    done: int = 0
    """steps made"""

    @property
    def total(self) -> int:
        """Steps that the whole job takes."""
        each = self.first.steps + (self.second.steps if self.second is not None else 0)
        return each * len(self.job.seeds)

    def note(self, sentence: str) -> None:
        """Remember a sentence, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)


def sampled(
    now: Work, stage: Stage, pass_: Pass, indices: Sequence[int]
) -> Generator[Progress, None, Tensor]:
    """The steps of a pass, told one by one."""
    steps = pass_.way.steps
    inner = sample(pass_)
    spent, made = 0.0, 0
    try:
        while True:
            began = time.monotonic()
            try:
                step = inferring(lambda: next(inner))
            except StopIteration as end:
                latents: Tensor = end.value
                break
            spent += time.monotonic() - began
            made += 1
            now.done += len(indices) if made <= steps else 0
            yield Progress(
                stage=stage,
                step=made,
                steps=max(steps, made),
                done=now.done,
                total=now.total,
                picture=indices[0],
                pictures=len(now.job.seeds),
                rate=made / max(spent, 1e-9),
                preview=_preview(now, step),
            )
    finally:
        inner.close()
    now.done += len(indices) * max(0, steps - made)  # a sampler that was done early
    return latents


def _preview(now: Work, step: Step) -> Callable[[], Image]:
    """The first picture of the group as it is by now."""

    def preview() -> Image:
        colours = now.tools.colours
        if colours is None:
            now.side.need("unet", "vae")
        with torch.inference_mode():
            return show(step.denoised[0], colours or now.tools.previews.of(now.side.model))

    return preview


def inferring(make: Callable[[], T]) -> T:
    """Without what training needs; never across a yield, where it would leak into the caller."""
    with torch.inference_mode():
        return make()
