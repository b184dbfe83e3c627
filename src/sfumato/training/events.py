"""What a training run says while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Prepared:
    """Pictures that are encoded before the first step."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Accumulated:
    """One batch of several in a step is done; no weight has moved since the step before."""

    step: int
    """the step that it is part of"""
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Stepped:
    """One step is done."""

    step: int
    steps: int
    loss: float
    rate: float
    """factor of the learning rate"""
    seconds: float
    """that the step took"""


@dataclass(frozen=True, slots=True)
class Validated:
    """The loss on pictures that are not trained on."""

    step: int
    loss: float
    average: float | None
    """the same with the averaged weights; None without an average"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A state is on disk, from which the run can go on."""

    step: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Written:
    """A file is on disk: the trained one, or a preview of what it paints."""

    step: int
    path: Path


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence for the user."""

    text: str


Event = Prepared | Accumulated | Stepped | Validated | Kept | Written | Note
