"""Where the parts of a model come from, among models that may be its parents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np

from sfumato.catalogue.fingerprint import rounding, tolerance
from sfumato.containers.open import open_model
from sfumato.errors import UsageError
from sfumato.operations.comparing.blocks import block
from sfumato.operations.comparing.counting import BESIDE, counting
from sfumato.operations.comparing.diff import Side, compare_parts, side
from sfumato.operations.comparing.mixture import (
    SPREAD,
    Matrix,
    Mixture,
    Products,
    Row,
    collected,
    multiply,
    nearest_sum,
)
from sfumato.operations.comparing.parts import PartDifference
from sfumato.operations.comparing.sections import Section

Progress = Callable[[int, int], None]
"""called with bytes done and bytes in all"""

How = Literal["same", "mixed", "mixed by block", "nearly mixed", "apart", "alone"]
"""same: a candidate has these weights · mixed: a weighted sum of candidates gives them, but for
rounding · mixed by block: it does with weights of its own for each block · nearly mixed: it takes
away more than half of the distance, so something else went in · apart: nearer to no sum than to one
candidate · alone: no candidate has such a part"""

SHARED = 0.9
"""share of a part's matrices that a candidate must have in the same shape"""

ROUNDED = 3
"""residuals up to so many times the rounding of all that takes part are rounding"""

HALF = 0.5
"""share of the distance to the nearest candidate that a sum must take away to be worth telling"""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one part comes from."""

    role: str
    title: str
    how: How
    distances: Mapping[str, float] = field(default_factory=dict[str, float])
    """candidate → how far its part is, the nearest first"""
    same: tuple[str, ...] = ()
    """candidates that have these very weights, rounding aside, as far as the beginnings tell"""
    proof: PartDifference | None = None
    """every number of the part beside those of the first of these candidates"""
    mixture: Mixture | None = None
    """the nearest weighted sum of two candidates or more; None where there are no two"""
    noise: float = 0.0
    """the residual that rounding alone can make"""
    matrices: int = 0
    """matrices of which the beginnings were compared"""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where the parts of a model come from."""

    subject: Side
    candidates: Mapping[str, Side]
    """name by which a candidate is called → the candidate"""
    origins: tuple[Origin, ...]


def explain(
    subject: str | PathLike[str],
    candidates: Sequence[str | PathLike[str]],
    *,
    progress: Progress | None = None,
) -> Explanation:
    """Say of every part of `subject` which candidate has it, or which weighted sum of them it is.

    The first numbers of every matrix are compared (`mixture.SAMPLE`); where a candidate has the
    same ones, every number is. Averaged copies are candidates too, called "name (averaged)".
    Raises UsageError without a candidate, and what `open_model` and reading raise.
    """
    if not candidates:
        raise UsageError("say which models the parts may come from")
    with ExitStack() as stack:
        paths = [Path(subject), *(Path(path) for path in candidates)]
        sides = [side(stack.enter_context(open_model(path))) for path in paths]
        named = dict(zip(_names(paths[1:]), sides[1:], strict=True))
        work = [_work(part, named) for part in sides[0].parts if part.role not in BESIDE]
        total = sum(row.nbytes for one in work for row in one.rows)
        count = _Count(total, progress)
        origins = [_origin(one, count) for one in work if one.part.role != "ema" or one.rows]
        return Explanation(sides[0], named, tuple(origins))


def _names(paths: Sequence[Path]) -> list[str]:
    """A name for each path: its stem where that tells them apart, else the path, else a number."""
    stems, whole = [path.stem for path in paths], [str(path) for path in paths]
    names = [
        stem if stems.count(stem) == 1 else path for stem, path in zip(stems, whole, strict=True)
    ]
    return [
        name if names.count(name) == 1 else f"{name} ({number})"
        for number, name in enumerate(names, 1)
    ]


@dataclass(slots=True)
class _Count:
    total: int
    progress: Progress | None
    done: int = 0

    def add(self, nbytes: int) -> None:
        self.done += nbytes
        if self.progress is not None:
            self.progress(self.done, self.total)


@dataclass(frozen=True, slots=True)
class _Work:
    """One part of the subject with the parts of candidates that may have given it."""

    part: Section
    parents: Mapping[str, Section]
    """name of the candidate → the part"""
    rows: tuple[Row, ...]


def _work(part: Section, named: Mapping[str, Side]) -> _Work:
    parents = dict(_parents(part, named))
    own = counting(part)
    theirs = [counting(parent) for parent in parents.values()]
    shared = [
        name
        for name, tensor in own.items()
        if all(
            name in there and _flat(there[name].shape) == _flat(tensor.shape) for there in theirs
        )
    ]
    rows = (
        Row(block(name, part.network), own[name], tuple(there[name] for there in theirs))
        for name in shared
    )
    return _Work(part, parents, tuple(rows) if parents else ())


def _parents(part: Section, named: Mapping[str, Side]) -> Iterator[tuple[str, Section]]:
    for name, there in named.items():
        able = [other for other in there.parts if _fits(part, other)]
        live = [other for other in able if other.role != "ema"]
        # CLIP-L and CLIP-G differ in shape, so more than one that fits plays the same role twice.
        for other in sorted(live, key=lambda other: other.role != part.role)[:1]:
            yield name, other
        for other in able:
            if other.role == "ema":
                yield f"{name} (averaged)", other


def _fits(part: Section, other: Section) -> bool:
    if part.network != other.network or (not part.network and part.role != other.role):
        return False
    own, there = counting(part), counting(other)
    shared = sum(n in there and _flat(there[n].shape) == _flat(t.shape) for n, t in own.items())
    return bool(own) and shared >= SHARED * len(own)


def _flat(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without sizes of 1 at its end: a 1×1 convolution is a linear layer."""
    while shape[-1:] == (1,):
        shape = shape[:-1]
    return shape


def _origin(work: _Work, count: _Count) -> Origin:
    part, names = work.part, list(work.parents)
    if not work.rows:
        return Origin(part.role, part.title, "alone")
    grams: list[tuple[Row, Matrix | None]] = []
    for row, gram in multiply(work.rows):
        grams.append((row, gram))
        count.add(row.nbytes)
    products = collected(names, grams)
    matrices = products.whole[1]
    if not matrices:
        return Origin(part.role, part.title, "alone")
    distances = products.distances()
    ranked = dict(sorted(distances.items(), key=lambda item: item[1]))
    limits = {name: _limit(part, parent) for name, parent in work.parents.items()}
    same = tuple(name for name, distance in ranked.items() if distance <= limits[name])
    if same:
        (proof,) = compare_parts([(part, work.parents[same[0]])])
        return Origin(part.role, part.title, "same", ranked, same, proof, matrices=matrices)
    mixture = nearest_sum(_distinct(products, limits))
    noise = _noise(part, work.parents, mixture)
    how = _how(mixture, noise, min(distances.values()))
    several = mixture if len(mixture.terms) > 1 or how == "mixed" else None
    return Origin(
        part.role, part.title, how, ranked, mixture=several, noise=noise, matrices=matrices
    )


def _limit(part: Section, parent: Section) -> float:
    """Distance up to which two parts of these types can be the same."""
    return max(tolerance(one.dtypes[0]) for one in (part, parent))


def _distinct(products: Products, limits: Mapping[str, float]) -> Products:
    """Without candidates that are the same as an earlier one: they could not be told apart."""
    kept: list[str] = []
    for name in products.names:
        if all(products.apart(name, other) > max(limits[name], limits[other]) for other in kept):
            kept.append(name)
    rows = [0, *(products.names.index(name) + 1 for name in kept)]
    blocks = {
        name: (gram[np.ix_(rows, rows)], count) for name, (gram, count) in products.blocks.items()
    }
    return Products(tuple(kept), blocks)


def _noise(part: Section, parents: Mapping[str, Section], mixture: Mixture) -> float:
    """Root mean square of the rounding that the sum's terms and the part itself went through."""
    own = rounding(part.dtypes[0])
    terms = (term.weight * rounding(parents[term.name].dtypes[0]) for term in mixture.terms)
    return (own**2 + sum(term**2 for term in terms)) ** 0.5


def _how(mixture: Mixture, noise: float, nearest: float) -> How:
    """What the residual means beside rounding, and beside the distance to the nearest."""
    # Weights that were rounded on their way and are F32 now still count as a sum.
    limit = min(ROUNDED * max(noise, rounding("F16")), HALF * nearest)
    several = len(mixture.terms) > 1
    if mixture.residual <= limit:
        return "mixed"
    if several and mixture.spread > SPREAD and mixture.by_block <= limit:
        return "mixed by block"
    return "nearly mixed" if several and mixture.residual <= HALF * nearest else "apart"
