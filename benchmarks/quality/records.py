"""What a measure gives, and what it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from quality.rows import Rows, read_rows
from quality.studio import Studio

Values = Mapping[str, float | Sequence[float]]


@dataclass(frozen=True, slots=True)
class Record:
    """One figure with its aim."""

    name: str
    figure: str
    aim: str
    met: bool
    sentence: str
    """how it was judged, and how far the judge itself can be trusted"""
    values: Values = field(default_factory=dict)
    """every number behind the figure"""


@dataclass(frozen=True, slots=True)
class Bench:
    """What measures work with."""

    studio: Studio
    data: Path
    """folder of the array files that the models learned from"""
    seeds: int
    pruned: Path | None = None
    """a checkpoint with live and averaged weights"""

    def rows(self, name: str) -> Rows:
        """The pictures of one array file."""
        return read_rows(self.data / f"{name}.safetensors")


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure, and the files that it is about."""

    name: str
    work: Callable[[Bench], list[Record]]
    needs: tuple[str, ...] = ("checkpoints/starter",)
    """files of the folder of models, without their suffix; "pruned" for that edition"""


def share(hits: Sequence[bool]) -> float:
    """How many of them are true, 0 … 1."""
    return sum(hits) / len(hits)


def percent(value: float) -> str:
    """A share as people read it."""
    return f"{100 * value:.0f} %"


def falls(values: Sequence[float]) -> bool:
    """True where each is below the one before."""
    return all(later < earlier for earlier, later in pairwise(values))


def arrows(values: Sequence[float], digits: int = 1) -> str:
    """A course of numbers."""
    return " → ".join(f"{value:.{digits}f}" for value in values)
