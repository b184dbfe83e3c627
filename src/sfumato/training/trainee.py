"""What the training loop asks of anything that can be trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor
from torch.nn import Parameter


@dataclass(frozen=True, slots=True)
class Group:
    """Weights that share a learning rate."""

    name: str
    parameters: Mapping[str, Parameter]
    """by the name under which they are saved; no name is in two groups"""
    rate: float
    decays: bool = True
    """False for norms, biases and embeddings, which weight decay leaves alone"""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a trainee is asked to write."""

    weights: Mapping[str, Tensor]
    """the live weights, by name"""
    average: Mapping[str, Tensor]
    """their EMA; empty without one"""
    average_updates: int
    average_decay: float
    optimizer: Mapping[str, Tensor]
    step: int
    epoch: int
    facts: Mapping[str, str]
    """the run's configuration and its history, for the metadata of every file"""


class Trainee(Protocol):
    """A model with the part of it that is trained, and the pictures it learns from."""

    notes: tuple[str, ...]
    """what a user should know before the first step, one sentence each"""
    digest: str
    """identity of the pictures and of everything else that must not change between two sittings"""
    batches: int
    """batches in an epoch"""

    def prepare(self) -> Iterator[tuple[int, int]]:
        """Do what is done once before the first step; yields what is done, and all there is."""
        ...

    def groups(self) -> tuple[Group, ...]:
        """The weights that are trained."""
        ...

    def loss(self, batch: int) -> Tensor:
        """The loss () of batch number `batch` of the run, with its gradients still to be taken."""
        ...

    def validate(self) -> float | None:
        """The loss on pictures that are not trained on, with the same noise every time."""
        ...

    def preview(self, folder: Path, step: int) -> Iterator[Path]:
        """Paint the preview prompts with the weights as they are."""
        ...

    def write(self, trained: Trained, path: Path) -> Iterator[Path]:
        """Write the files that other programs read."""
        ...
