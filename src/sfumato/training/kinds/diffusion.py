"""Training that teaches a UNet to see through noise: every kind but the VAE."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from sfumato.engine.model import Model
from sfumato.engine.sampling.discretisation import discretisation
from sfumato.training.data.captions import draw_caption
from sfumato.training.data.latents import Latents
from sfumato.training.data.lesson import Lesson
from sfumato.training.data.order import Draw
from sfumato.training.data.texts import Texts
from sfumato.training.kinds.part import Part
from sfumato.training.kinds.previews import paint_previews
from sfumato.training.kinds.validation import Validation
from sfumato.training.loop import run_folder
from sfumato.training.objective import error, noise, noised, timesteps
from sfumato.training.settings import Run
from sfumato.training.trainee import Group, Trained

SIDES = {"sd1": 512, "sd2": 512, "sdxl": 1024, "sdxl-refiner": 1024}
"""family → side of the pictures it was made for"""


class DiffusionTrainee:
    """A model, the part of it that learns, and the pictures it learns from."""

    def __init__(self, run: Run, model: Model, part: Part) -> None:
        self.run = run
        self.model = model
        self.part = part
        self.lesson = Lesson(run, SIDES[model.family])
        self.batches = self.lesson.order.batches
        self.prediction = run.objective.prediction or model.prediction
        self.levels = discretisation(zero_snr=run.objective.zero_snr or model.zero_snr)
        self.latents = Latents(model, self.lesson, run_folder(run.output) / "cache")
        self.texts = Texts(model, learning=part.learns_text, embeddings=part.embeddings)
        self.digest = f"{self.lesson.digest} {model.path.name} {part.note}"
        self.notes = (*self.lesson.notes, part.note, *model.notes)
        self._validation = Validation.of(run, self)

    def prepare(self) -> Iterator[int]:
        """Encode the pictures; yields how many are done."""
        yield from self.latents.prepare()

    def groups(self) -> tuple[Group, ...]:
        """The weights that are trained."""
        return self.part.groups()

    def loss(self, batch: int) -> Tensor:
        """The loss of one batch of noisy latents."""
        draws, copies = self.lesson.order.at(batch), self.run.objective.draws
        latents = self.latents.at(draws).repeat_interleave(copies, dim=0)
        samples = [draw.sample * copies + i for draw in draws for i in range(copies)]
        eps = noise(
            tuple(latents.shape[1:]), self.run.seed, samples, self.run.objective.noise_offset
        ).to(latents.device)
        t = timesteps(
            len(latents), len(self.levels.alphas), self.run.seed, batch,
            stratified=self.run.objective.stratified,
        )  # fmt: skip
        captions = [self.caption(draw) for draw in draws]
        context, vector = self.texts.at(captions, self._size(draws[0]))
        return self.error_of(
            latents, eps, t, context.repeat_interleave(copies, dim=0),
            None if vector is None else vector.repeat_interleave(copies, dim=0),
            self._weights(draws, copies).to(latents.device),
        )  # fmt: skip

    def error_of(
        self, latents: Tensor, eps: Tensor, t: Tensor, context: Tensor,
        vector: Tensor | None = None, weights: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """The loss of latents with given noise, timesteps and texts."""
        noisy = noised(
            latents, eps, t, self.levels,
            prediction=self.prediction, objective=self.run.objective,
        )  # fmt: skip
        dtype = self.model.placement.dtype
        predicted = self.model.unet(
            noisy.x.to(dtype), noisy.timesteps, context.to(dtype),
            None if vector is None else vector.to(dtype),
        )  # fmt: skip
        return error(predicted, noisy, weights)

    def caption(self, draw: Draw) -> str:
        """The caption of one draw."""
        return draw_caption(self.lesson.items[draw.item], self.run.data, self.run.seed, draw.sample)

    def _size(self, draw: Draw) -> tuple[int, int]:
        return self.lesson.fits[draw.item].bucket

    def _weights(self, draws: list[Draw], copies: int) -> Tensor:
        """Regularisation pictures weigh what `prior_weight` says."""
        prior = self.run.objective.prior_weight
        each = [prior if self.lesson.items[draw.item].regularisation else 1.0 for draw in draws]
        return torch.tensor(each).repeat_interleave(copies)

    @torch.no_grad()
    def validate(self) -> float | None:
        """The loss on held-back pictures, at fixed noise levels with fixed noise."""
        return None if self._validation is None else self._validation.loss(self)

    def preview(self, folder: Path, step: int) -> Iterator[Path]:
        """Paint the prompts of the configuration as a painter would."""
        if self.run.watch.previews:
            yield paint_previews(self.run, self.model, self.part, folder, step)

    def write(self, trained: Trained, path: Path) -> Iterator[Path]:
        """Write the files of this kind."""
        yield from self.part.write(trained, path)
