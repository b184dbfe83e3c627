"""Short runs that teach small models from small pictures, for every kind."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sfumato.catalogue.cards.inspect import inspect
from sfumato.catalogue.verdict import Verdict
from sfumato.engine.encoding.encode import encode
from sfumato.engine.loading.load import load
from sfumato.engine.model import Model
from sfumato.engine.prompt.chunks import EmbeddingTable
from sfumato.training.events import Stepped
from sfumato.training.kinds.diffusion import DiffusionTrainee
from sfumato.training.loop import train
from sfumato.training.prepare import prepare
from sfumato.training.settings import Base, Data, Kind, Optimizer, Run, Save, Watch

SIDE = 64


def write_pictures(folder: Path, count: int = 3) -> Path:
    """Coloured discs, each with a caption."""
    folder.mkdir(parents=True, exist_ok=True)
    across, down = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    for number in range(count):
        rng = np.random.default_rng(number)
        pixels = np.empty((SIDE, SIDE, 3), np.uint8)
        pixels[:] = rng.integers(0, 255, 3)
        x, y = rng.integers(16, 48, 2)
        pixels[(across - x) ** 2 + (down - y) ** 2 < 200] = rng.integers(0, 255, 3)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"a disc, number {number}")
    return folder


def run_of(kind: Kind, base: Path, pictures: Path, output: Path, **changes: object) -> Run:
    """A run of three steps; `changes` are fields of `Run`."""
    run = Run(
        kind,
        str(output),
        steps=3,
        batch=2,
        base=Base(str(base)),
        data=Data(str(pictures), resolution=SIDE),
        optimizer=Optimizer(rate=1e-2),
        save=Save(every=0, files=False, dtype="f32"),
        watch=Watch(),
    )
    return replace(run, **changes)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, slots=True)
class Course:
    """A run that is over."""

    trainee: DiffusionTrainee
    losses: list[float]

    @property
    def model(self) -> Model:
        """The model as it was left by training."""
        return self.trainee.model


def taught(run: Run) -> Course:
    """Train a run to its end."""
    trainee = prepare(run)
    losses = [event.loss for event in train(run, trainee) if isinstance(event, Stepped)]
    assert isinstance(trainee, DiffusionTrainee)
    return Course(trainee, losses)


def identified(path: str | Path) -> Verdict:
    """What the catalogue says a file is."""
    found = inspect(path).identity
    assert found is not None
    return found


@contextmanager
def opened(run: Run) -> Generator[Model]:
    """The model that a run starts from."""
    model = load(run.base.file, device="cpu", dtype="f32")
    try:
        yield model
    finally:
        model.close()


@torch.no_grad()
def answer(
    model: Model, text: str = "a disc", *, embeddings: EmbeddingTable | None = None
) -> Tensor:
    """What a model says of fixed noise and a text (1, 4, 8, 8)."""
    (told,) = encode(model, [text], embeddings=embeddings, size=(SIDE, SIDE))
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(7))
    return model.unet(noise, torch.tensor([500.0]), told.context, told.vector)


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to the largest number."""
    return ((one - other).abs().max() / other.abs().max()).item()
