"""What one kind of training adds to the diffusion that all of them share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from sfumato.engine.prompt.chunks import EmbeddingTable
from sfumato.library.find import Shelf
from sfumato.training.trainee import Group, Trained


class Part(Protocol):
    """The weights of a model that one kind of training moves, and the file they become."""

    learns_text: bool
    """True where what is learned stands before or in a text encoder"""
    embeddings: EmbeddingTable | None
    """learned words that captions may hold"""
    note: str
    """what is trained, in one sentence"""

    def groups(self) -> tuple[Group, ...]:
        """The weights, by learning rate."""
        ...

    def shelf(self, folder: Path) -> Shelf | None:
        """Where a painter finds what is learned, if it does not act already."""
        ...

    def write(self, trained: Trained, path: Path) -> Iterator[Path]:
        """Write the files that other programs read."""
        ...
