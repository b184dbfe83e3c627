"""The loss on pictures that are never trained on, measured the same way every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from sfumato.engine.model import Model
from sfumato.training.data.items import Found
from sfumato.training.data.latents import Latents
from sfumato.training.data.lesson import Lesson
from sfumato.training.kinds.conditioning import Seen
from sfumato.training.randomness import normal
from sfumato.training.settings import Run

LEVELS = (100, 300, 500, 700, 900)
"""timesteps at which the loss is measured"""

MOST = 64
"""pictures that are measured"""


class Measured(Protocol):
    """What is measured: a model that learns to see through noise."""

    model: Model
    lesson: Lesson
    latents: Latents

    def encoded(
        self, captions: Sequence[str], pictures: Sequence[Seen]
    ) -> tuple[Tensor, Tensor | None]:
        """Captions as the UNet reads them."""
        ...

    def error_of(
        self, latents: Tensor, eps: Tensor, t: Tensor, context: Tensor, *, vector: Tensor | None
    ) -> Tensor:
        """The loss () of latents with given noise, timesteps and texts."""
        ...


@dataclass(frozen=True, slots=True)
class Validation:
    """Held-back pictures: their latents and captions."""

    latents: tuple[Tensor, ...]
    """each (4, h, w), scaled"""
    captions: tuple[str, ...]
    pictures: tuple[Seen, ...]
    seed: int

    @classmethod
    def of(cls, run: Run, trainee: Measured) -> Validation | None:
        """The pictures held out, or those of `data.validation`; None where there are none."""
        lesson = _held(run, trainee.lesson)
        if lesson is None:
            return None
        rows = range(min(MOST, len(lesson.items)))
        model = trainee.model
        means = [trainee.latents.moments(lesson.still(row)[None])[0].chunk(2)[0] for row in rows]
        return cls(
            tuple((mean - model.shift) * model.scale for mean in means),
            tuple(lesson.items[row].captions[0] for row in rows),
            tuple(Seen(lesson.items[row].size, lesson.fits[row]) for row in rows),
            run.seed,
        )

    def loss(self, trainee: Measured) -> float:
        """The mean over pictures and noise levels."""
        rows = zip(self.latents, self.captions, self.pictures, strict=True)
        losses = [
            self._one(row, trainee, latent, caption, picture)
            for row, (latent, caption, picture) in enumerate(rows)
        ]
        return sum(losses) / len(losses)

    def _one(
        self, row: int, trainee: Measured, latent: Tensor, caption: str, picture: Seen
    ) -> float:
        context, vector = trainee.encoded([caption], [picture])
        count, shape = len(LEVELS), tuple(latent.shape)
        eps = torch.stack([normal(shape, self.seed, "validation", row, t) for t in LEVELS])
        return trainee.error_of(
            latent.expand(count, *shape), eps.to(latent.device), torch.tensor(LEVELS),
            context.expand(count, -1, -1),
            vector=None if vector is None else vector.expand(count, -1),
        ).item()  # fmt: skip


def _held(run: Run, lesson: Lesson) -> Lesson | None:
    """The pictures to measure, cut as those that are learned are."""
    data = replace(run.data, regularisation="", flip=False, hold_out=0.0)
    if lesson.held:
        return Lesson(replace(run, data=data), lesson.resolution, Found(lesson.held, ()))
    if not data.validation:
        return None
    return Lesson(replace(run, data=replace(data, folder=data.validation)), lesson.resolution)
