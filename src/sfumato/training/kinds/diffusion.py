"""Training that teaches a UNet to see through noise: every kind but the VAE."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from sfumato.containers.text import escape
from sfumato.engine.model import Model
from sfumato.engine.sampling.discretisation import discretisation
from sfumato.errors import Refused, UsageError
from sfumato.training.data.captions import draw_caption
from sfumato.training.data.latents import Latents
from sfumato.training.data.lesson import Lesson
from sfumato.training.data.order import Draw
from sfumato.training.data.texts import Texts
from sfumato.training.kinds.conditioning import Seen, vectors_seen
from sfumato.training.kinds.part import Part, Taught
from sfumato.training.kinds.previews import paint_previews
from sfumato.training.kinds.validation import Validation
from sfumato.training.loop import run_folder
from sfumato.training.objective import error, noise, noised, timesteps
from sfumato.training.precision import computing
from sfumato.training.randomness import uniform
from sfumato.training.settings import Run, word_of
from sfumato.training.trainee import Group, Trained


class DiffusionTrainee:
    """A model, the part of it that learns, and the pictures it learns from."""

    def __init__(self, run: Run, model: Model, part: Part) -> None:
        """Raises Refused or UsageError, in one sentence, for what cannot be trained."""
        _check(run, model)
        run = _with_word(run)
        self.run = run
        self.model = model
        self.part = part
        self.lesson = Lesson(run, model.side)
        self.batches = self.lesson.order.batches
        # Previews are painted in the terms in which the model learns.
        model.prediction = run.objective.prediction or model.prediction
        model.zero_snr = run.objective.zero_snr or model.zero_snr
        model.unet.checkpointing = run.checkpointing
        self.levels = discretisation(zero_snr=model.zero_snr)
        self.latents = Latents(model, self.lesson, run_folder(run.output) / "cache")
        self.texts = Texts(
            model, learning=part.learns_text, embeddings=part.embeddings, precision=run.precision
        )
        self.digest = f"{self.lesson.digest} {model.path.name} {part.note}"
        self.notes = (*self.lesson.notes, part.note, *model.notes)
        self._validation = Validation.of(run, self)

    def prepare(self) -> Iterator[tuple[int, int]]:
        """Encode the pictures; yields how many are done, and of how many."""
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
        context, vector = self.encoded(captions, [self.seen(draw) for draw in draws])
        found = self.error_of(
            latents, eps, t, context.repeat_interleave(copies, dim=0),
            vector=None if vector is None else vector.repeat_interleave(copies, dim=0),
            weights=self._weights(draws, copies).to(latents.device),
        )  # fmt: skip
        return found if found.requires_grad else found + self._nothing()

    def _nothing(self) -> Tensor:
        """Zero, with gradients of zero: what an embedding learns from captions without its word."""
        weights = (w for group in self.groups() for w in group.parameters.values())
        return torch.stack([0 * weight.sum() for weight in weights]).sum()

    def encoded(
        self, captions: Sequence[str], pictures: Sequence[Seen]
    ) -> tuple[Tensor, Tensor | None]:
        """Contexts (b, 77 n, width) of captions, and for SDXL vectors (b, labels)."""
        context, vector = self.texts.at(captions, pictures[0].fit.bucket)
        return context, None if vector is None else vectors_seen(self.model, vector, pictures)

    def error_of(
        self, latents: Tensor, eps: Tensor, t: Tensor, context: Tensor, *,
        vector: Tensor | None = None, weights: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """The loss of latents with given noise, timesteps and texts."""
        noisy = noised(
            latents, eps, t, self.levels,
            prediction=self.model.prediction, objective=self.run.objective,
        )  # fmt: skip
        place = self.model.placement
        with computing(self.run.precision, place.device):
            predicted = self.model.unet(
                noisy.x.to(place.dtype), noisy.timesteps, context.to(place.dtype),
                None if vector is None else vector.to(place.dtype),
            )  # fmt: skip
        return error(predicted, noisy, weights)

    def caption(self, draw: Draw) -> str:
        """The caption of one draw."""
        return draw_caption(self.lesson.items[draw.item], self.run.data, self.run.seed, draw.sample)

    def seen(self, draw: Draw) -> Seen:
        """How the picture of one draw is cut."""
        item, fit, across, down = (
            self.lesson.items[draw.item],
            self.lesson.fits[draw.item],
            0.5,
            0.5,
        )
        if self.run.data.crop == "random":
            across = uniform(self.run.seed, "crop", draw.sample, 0)
            down = uniform(self.run.seed, "crop", draw.sample, 1)
        return Seen(item.size, fit, across, down, self.lesson.flipped(draw))

    def _weights(self, draws: list[Draw], copies: int) -> Tensor:
        """Regularisation pictures weigh what `prior_weight` says."""
        prior = self.run.objective.prior_weight
        each = [prior if self.lesson.items[draw.item].regularisation else 1.0 for draw in draws]
        return torch.tensor(each).repeat_interleave(copies)

    def validate(self) -> float | None:
        """The loss on held-back pictures, at fixed noise levels with fixed noise."""
        if self._validation is None:
            return None
        with self._still():
            return self._validation.loss(self)

    def preview(self, folder: Path, step: int) -> Iterator[Path]:
        """Paint the prompts of the configuration as a painter would."""
        if not self.run.watch.previews:
            return
        side = self.run.watch.preview_size or self.lesson.resolution // 8 * 8
        with self._still():
            yield paint_previews(
                self.run, self.model, self.part.shelf(folder),
                folder / f"preview-{step:06d}.png", side,
            )  # fmt: skip

    @contextmanager
    def _still(self) -> Generator[None]:
        """Nothing learns: no dropout, no gradients, and each adapted weight is made only once."""
        self.part.learning(on=False)
        try:
            with torch.no_grad(), parametrize.cached():
                yield
        finally:
            self.part.learning(on=True)

    def write(self, trained: Trained, path: Path) -> Iterator[Path]:
        """Write the files of this kind."""
        taught = Taught(self.lesson, self.model.prediction, self.model.zero_snr)
        yield from self.part.write(trained, path, taught)


def _check(run: Run, model: Model) -> None:
    sizes = model.unet_sizes
    if model.variant in ("inpainting", "ip2p") or sizes.inputs != 4:
        raise Refused(
            f"{model.path}: its UNet takes {sizes.inputs} channels, of which {sizes.inputs - 4} "
            f"are another picture ({escape(model.variant or 'unknown', 40)}): models of that sort "
            "are not trained by this program"
        )
    if sizes.classes:
        raise Refused(f"{model.path}: takes numbers of classes, which captions do not give")
    prediction = run.objective.prediction or model.prediction
    if (run.objective.zero_snr or model.zero_snr) and prediction != "v":
        raise UsageError(
            "objective.zero_snr takes objective.prediction v: at the last step nothing but noise "
            "is left, from which predicting noise teaches nothing"
        )


def _with_word(run: Run) -> Run:
    """The run with the word that stands for what is learned in every caption."""
    return replace(run, data=replace(run.data, trigger=word_of(run)))
