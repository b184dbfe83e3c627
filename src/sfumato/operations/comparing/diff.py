"""The difference between two models: the parts that are the same, and how far others changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from sfumato.catalogue.identify import identify
from sfumato.containers.model_file import Container, ModelFile
from sfumato.containers.open import open_model
from sfumato.containers.parallel import in_order
from sfumato.operations.comparing.pairs import Pair, compare
from sfumato.operations.comparing.parts import PartDifference, lay_out, summed
from sfumato.operations.comparing.sections import Section, sections

Progress = Callable[[int, int], None]
"""called with bytes done and bytes in all"""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the models that were compared."""

    path: Path
    container: Container
    title: str
    """what it is, in one line"""
    size: int
    """bytes on disk"""
    parts: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two models."""

    first: Side
    second: Side
    parts: tuple[PartDifference, ...] = ()
    """of every part that both have"""
    only_first: tuple[Section, ...] = ()
    only_second: tuple[Section, ...] = ()
    crossed: tuple[PartDifference, ...] = ()
    """averaged copies of one model beside the trained network of the other, where that tells"""
    metadata: tuple[str, ...] = ()
    """keys of the text in the headers that differ"""

    @property
    def same(self) -> bool:
        """True where both hold the same parts with the same weights, whatever their form."""
        whole = all(p.state in ("identical", "same") and p.complete for p in self.parts)
        return whole and not self.only_first and not self.only_second


def diff(
    first: str | PathLike[str], second: str | PathLike[str], *, progress: Progress | None = None
) -> Difference:
    """Compare two model files or folders, part by part, whatever container, type or spelling.

    Every number of the parts that both have is read, in pieces and on two threads; distances are L2
    norms of the difference over L2 norms of the first. Raises what `open_model` and reading raise.
    """
    with ExitStack() as stack:
        sides = [stack.enter_context(open_model(path)) for path in (Path(first), Path(second))]
        return _diff(side(sides[0]), side(sides[1]), sides, progress)


def side(model: ModelFile) -> Side:
    """An opened model, ready to be compared."""
    verdict = identify(model, metadata=model.metadata, extras=model.extras, stem=model.path.stem)
    title = verdict.title or verdict.kind
    return Side(model.path, model.container, title, model.size, sections(model, verdict))


def _diff(
    first: Side, second: Side, models: Sequence[ModelFile], progress: Progress | None
) -> Difference:
    mates = tuple(pairing(first.parts, second.parts))
    mine, theirs = {id(a) for a, _ in mates}, {id(b) for _, b in mates}
    only_first = tuple(part for part in first.parts if id(part) not in mine)
    only_second = tuple(part for part in second.parts if id(part) not in theirs)
    crossing = [
        *((a, b) for a in only_first if a.role == "ema" for b in second.parts if _crosses(a, b)),
        *((a, b) for b in only_second if b.role == "ema" for a in first.parts if _crosses(b, a)),
    ]
    found = list(compare_parts((*mates, *crossing), progress=progress))
    mated = found[: len(mates)]
    changed = any(part.role == "unet" and part.state == "changed" for part in mated)
    return Difference(
        first,
        second,
        tuple(mated),
        only_first,
        only_second,
        tuple(found[len(mates) :]) if changed else (),
        tuple(_metadata(models[0], models[1])),
    )


def pairing(
    first: Sequence[Section], second: Sequence[Section]
) -> Iterator[tuple[Section, Section]]:
    """Sections that are to be laid side by side: those of one role, then those of one network."""
    left = list(second)
    rest: list[Section] = []
    for part in first:
        mate = next((other for other in left if other.role == part.role), None)
        if mate is None:
            rest.append(part)
        else:
            left.remove(mate)
            yield part, mate
    for part in rest:
        mate = next((other for other in left if _alike(part, other)), None)
        if mate is not None:
            left.remove(mate)
            yield part, mate


def _alike(part: Section, other: Section) -> bool:
    """True for one network that plays two roles: CLIP-G alone and as SDXL's second encoder."""
    if not part.network or part.network != other.network or "ema" in (part.role, other.role):
        return False
    return _crosses(part, other)


def _crosses(part: Section, other: Section) -> bool:
    shared = sum(
        name in other.tensors and other.tensors[name].shape == tensor.shape
        for name, tensor in part.tensors.items()
    )
    same = bool(part.network) and part.network == other.network
    return same and 2 * shared > max(len(part.tensors), len(other.tensors))


def compare_parts(
    mates: Sequence[tuple[Section, Section]], *, progress: Progress | None = None
) -> Iterator[PartDifference]:
    """Read and compare pairs of sections, one after another, on two threads."""
    tasks = [(a, b, name) for a, b in mates for name in lay_out(a, b)]
    total = sum(a.tensors[name].nbytes + b.tensors[name].nbytes for a, b, name in tasks)
    results = in_order(_task, tasks)
    done = 0
    for first, second in mates:
        pairs: list[Pair] = []
        for name in lay_out(first, second):
            pairs.append(next(results))
            done += first.tensors[name].nbytes + second.tensors[name].nbytes
            if progress is not None:
                progress(done, total)
        yield summed(first, second, pairs)


def _task(task: tuple[Section, Section, str]) -> Pair:
    first, second, name = task
    return compare(name, first.tensors[name], second.tensors[name])


def _metadata(first: ModelFile, second: ModelFile) -> Iterator[str]:
    for key in dict.fromkeys((*first.metadata, *second.metadata)):
        if first.metadata.get(key) != second.metadata.get(key):
            yield key
