"""What one kind of training adds to the diffusion that all of them share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from sfumato.engine.prompt.chunks import EmbeddingTable
from sfumato.library.find import Shelf
from sfumato.training.data.lesson import Lesson
from sfumato.training.trainee import Group, Trained


@dataclass(frozen=True, slots=True)
class Taught:
    """What a part was taught with, as far as its files tell of it."""

    lesson: Lesson
    prediction: Literal["epsilon", "v"]
    zero_snr: bool


class Part(Protocol):
    """The weights of a model that one kind of training moves, and the file they become."""

    @property
    def learns_text(self) -> bool:
        """True where what is learned stands before or in a text encoder."""
        ...

    @property
    def embeddings(self) -> EmbeddingTable | None:
        """Learned words that captions may hold."""
        ...

    @property
    def note(self) -> str:
        """What is trained, in one sentence."""
        ...

    def groups(self) -> tuple[Group, ...]:
        """The weights, by learning rate."""
        ...

    def learning(self, *, on: bool) -> None:
        """Act as while learning (dropout), or as the file that is written will."""
        ...

    def shelf(self, folder: Path) -> Shelf | None:
        """Where a painter finds what is learned, if it does not act already."""
        ...

    def write(self, trained: Trained, path: Path, taught: Taught) -> Iterator[Path]:
        """Write the files that other programs read."""
        ...
