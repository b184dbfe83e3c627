"""What an operation will do, decided before the first byte is read, and what it did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sfumato.containers.layout import Plan as WritePlan
from sfumato.containers.model_file import PICTURE, TORCH_ZIP, Container, Tree
from sfumato.containers.save import Saved
from sfumato.containers.sizes import counted, human
from sfumato.containers.tensor import Tensors
from sfumato.containers.text import escape
from sfumato.operations.beside import CARD, carried_text, has_place
from sfumato.operations.cast import Losses
from sfumato.operations.recipe import Option

Progress = Callable[[int, int], None]
"""called with bytes done and bytes in all"""

SHOWN = 3
"""names in a sentence"""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A tensor of the input that the output does not have."""

    name: str
    reason: str
    """a few words, the same for all that go for one reason"""
    nbytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """An output, complete but for its bytes."""

    operation: str
    options: Mapping[str, Option]
    sources: tuple[Path, ...]
    target: Path
    container: Container
    tensors: Tensors
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    tree: Tree = None
    """the nested value for pickle containers"""
    dropped: tuple[Dropped, ...] = ()
    changes: tuple[str, ...] = ()
    """one sentence per sort of change: "686 tensors cast from F32 to F16" """
    warnings: tuple[str, ...] = ()
    outcome: Callable[[], Iterable[str]] = tuple
    """sentences on what the tensors did while they were streamed, which nobody knows before"""
    losses: Losses = field(default_factory=Losses)
    """filled while the tensors are streamed"""
    strict: bool = False
    """True where numbers that become infinite are to stop the operation"""
    lineage: tuple[str, ...] = ()
    """recipes that the inputs carry themselves, in the order of `sources`"""
    recorded: bool = True
    """False where the file is to carry no recipe, because that was asked for"""
    layout: WritePlan | None = None
    """the format's writer with options of its own; None for the ordinary one"""
    bytes_in: int = 0
    """bytes on disk of what was opened, which may be less than all that lies in a folder"""

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors that are kept; of the whole file where its writer has options."""
        if self.layout is not None:
            return self.layout(self.tensors, self.metadata, tree=self.tree).nbytes
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def unplaced(self) -> list[str]:
        """Keys of the metadata that the output's container has no place for."""
        if self.container not in (TORCH_ZIP, PICTURE) or has_place(self.container, self.tree):
            return []
        drawn = CARD if self.container == PICTURE else ()
        return [key for key in self.metadata if carried_text(key) and key not in drawn]

    def reasons(self) -> Iterator[tuple[str, int, int]]:
        """Why tensors are dropped: the reason, how many, how many bytes; the most bytes first."""
        counts = Counter(item.reason for item in self.dropped)
        sizes: Counter[str] = Counter()
        for item in self.dropped:
            sizes[item.reason] += item.nbytes
        for reason in sorted(counts, key=lambda reason: -sizes[reason]):
            yield reason, counts[reason], sizes[reason]


@dataclass(frozen=True, slots=True)
class Report:
    """What an operation did, or would do."""

    plan: Plan
    saved: Saved | None
    """None where nothing was written: a dry run"""
    bytes_in: int
    """bytes of all inputs on disk"""
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    """input name → its BLAKE3, as the output's recipe has it"""
    recorded: bool = True
    """False where the output has no place for a recipe"""

    @property
    def bytes_out(self) -> int:
        """Bytes of the output on disk; in a dry run, of its tensors."""
        return self.plan.nbytes if self.saved is None else self.saved.nbytes

    def sentences(self) -> Iterator[str]:
        """What was done, for a person, the most important first."""
        kept = len(self.plan.tensors)
        would = "would be kept" if self.saved is None else "written"
        sizes = f"{human(self.bytes_out)} from {human(self.bytes_in)}"
        yield f"{counted(kept, 'tensor')} {would}, {sizes}"
        for reason, count, nbytes in self.plan.reasons():
            verb = "would be dropped" if self.saved is None else "dropped"
            yield f"{counted(count, 'tensor')} {verb}, {human(nbytes)}: {reason}"
        yield from self.plan.changes
        yield from self.plan.outcome()
        yield from lost(self.plan.losses)
        yield from (f"warning: {warning}" for warning in self.warnings())
        if not self.recorded:
            yield "no recipe is kept in the file: its form has no place for one"
        if self.saved is not None and self.saved.verified:
            yield "verified: every tensor was read back and compared"

    def warnings(self) -> Iterator[str]:
        """What a person should know before the old file is deleted."""
        yield from self.plan.warnings
        if unplaced := self.plan.unplaced:
            names = ", ".join(escape(key) for key in unplaced[:SHOWN])
            yield (
                f"{len(unplaced)} texts of metadata have no place in a "
                f"{self.plan.container.title} and are left out ({names})"
            )

    def to_json(self) -> dict[str, object]:
        """The same for programs."""
        plan = self.plan
        return {
            "operation": plan.operation,
            "target": str(plan.target),
            "container": plan.container.name,
            "written": self.saved is not None,
            "verified": self.saved is not None and self.saved.verified,
            "tensors": len(plan.tensors),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "dropped": [
                {"reason": reason, "tensors": count, "bytes": nbytes}
                for reason, count, nbytes in plan.reasons()
            ],
            "changes": [*plan.changes, *plan.outcome()],
            "warnings": list(self.warnings()),
            "infinite": dict(plan.losses.infinite),
            "clipped": dict(plan.losses.clipped),
            "flushed": dict(plan.losses.flushed),
            "inputs": dict(self.inputs),
            "recipe": self.recorded,
        }


def lost(losses: Losses) -> Iterator[str]:
    """What casts cost, in sentences."""
    large, small = "too large for the new type", "too small for the new type"
    keep = "keep a wider type for them"
    if losses.infinite:
        yield f"warning: {_numbers(losses.infinite, large)}, and became infinite; {keep}"
    if losses.clipped:
        yield f"warning: {_numbers(losses.clipped, large)}, and became its largest number; {keep}"
    if losses.flushed:
        yield f"{_numbers(losses.flushed, small)}, and became zero"


def _numbers(counts: Mapping[str, int], what: str) -> str:
    """How many numbers of which tensors were what."""
    names = ", ".join(escape(name) for name in list(counts)[:SHOWN])
    more = ", …" if len(counts) > SHOWN else ""
    whole = counted(sum(counts.values()), "number")
    return f"{whole} of {counted(len(counts), 'tensor')} ({names}{more}) were {what}"
