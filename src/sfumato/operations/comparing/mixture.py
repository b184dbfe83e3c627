"""One set of weights as a weighted sum of others: least squares over sampled numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from sfumato.catalogue.numbers.streams import floats
from sfumato.containers.arrays import Floats
from sfumato.containers.parallel import in_order
from sfumato.containers.tensor import Tensor

SAMPLE = 1 << 15
"""numbers taken of each matrix, from its beginning"""

LEAST = 0.005
"""weights of a smaller size are taken for zero"""

SPREAD = 0.02
"""how far the weights of single blocks may be from those of all before it is said"""

HOLD = 1e-8
"""price of a block's own weights: candidates that are less than 0.01 % apart there do not tell"""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Term:
    """One model of a weighted sum."""

    name: str
    weight: float


@dataclass(frozen=True, slots=True)
class BlockMix:
    """The weights within one block."""

    block: str
    weights: tuple[float, ...]
    """in the order of the terms"""
    residual: float
    matrices: int


@dataclass(frozen=True, slots=True)
class Mixture:
    """The weighted sum that is nearest to some weights."""

    terms: tuple[Term, ...]
    """the largest weight first"""
    residual: float
    """what the sum leaves: the root mean square over all matrices of |t - sum| / |t|"""
    blocks: tuple[BlockMix, ...] = ()
    """the same fitted to each block alone"""

    @property
    def total(self) -> float:
        """Sum of the weights: 1 for every mean, and for A + x (B - C)."""
        return sum(term.weight for term in self.terms)

    @property
    def by_block(self) -> float:
        """What is left where each block has weights of its own."""
        squares = sum(block.matrices * block.residual**2 for block in self.blocks)
        count = sum(block.matrices for block in self.blocks)
        return sqrt(squares / count) if count else self.residual

    @property
    def spread(self) -> float:
        """Largest difference between a weight of a block and that of the whole."""
        whole = [term.weight for term in self.terms]
        return max(
            (
                abs(a - b)
                for block in self.blocks
                for a, b in zip(block.weights, whole, strict=True)
            ),
            default=0.0,
        )


@dataclass(frozen=True, slots=True)
class Products:
    """Inner products of sampled weights and of what candidates differ from them by.

    Each matrix is divided by the length of the sampled part of the target, so that every one counts
    alike and rounding, which is relative, weighs the same everywhere.
    """

    names: tuple[str, ...]
    """of the candidates"""
    blocks: Mapping[str, tuple[Matrix, int]]
    """block → (1 + candidates, 1 + candidates): target first, then each candidate less the target;
    and the number of matrices in it"""

    @property
    def whole(self) -> tuple[Matrix, int]:
        """The sums over all blocks."""
        count = sum(matrices for _, matrices in self.blocks.values())
        size = 1 + len(self.names)
        return sum((gram for gram, _ in self.blocks.values()), np.zeros((size, size))), count

    def distances(self) -> dict[str, float]:
        """Candidate → how far it is from the target."""
        gram, count = self.whole
        return {
            name: sqrt(max(0.0, float(gram[i, i])) / max(1, count))
            for i, name in enumerate(self.names, 1)
        }

    def apart(self, first: str, second: str) -> float:
        """How far two candidates are from each other, in lengths of the target."""
        gram, count = self.whole
        i, j = self.names.index(first) + 1, self.names.index(second) + 1
        return sqrt(max(0.0, float(gram[i, i] - 2 * gram[i, j] + gram[j, j])) / max(1, count))


@dataclass(frozen=True, slots=True)
class Row:
    """One matrix of the target with the same of every candidate."""

    block: str
    target: Tensor
    candidates: tuple[Tensor, ...]

    @property
    def nbytes(self) -> int:
        """Bytes that are read at most."""
        each = (min(t.size, SAMPLE) * t.dtype.bits // 8 for t in (self.target, *self.candidates))
        return sum(each)


def multiply(rows: Sequence[Row]) -> Iterator[tuple[Row, Matrix | None]]:
    """Read every row's beginning and multiply it out; None for one that is zero or not finite."""
    yield from zip(rows, in_order(_gram, rows), strict=True)


def collected(names: Sequence[str], grams: Sequence[tuple[Row, Matrix | None]]) -> Products:
    """The sums for each block."""
    blocks: dict[str, tuple[Matrix, int]] = {}
    for row, gram in grams:
        if gram is not None:
            before, count = blocks.get(row.block, (np.zeros_like(gram), 0))
            blocks[row.block] = before + gram, count + 1
    return Products(tuple(names), blocks)


def _gram(row: Row) -> Matrix | None:
    target = _beginning(row.target).astype(np.float64)
    size = float(np.dot(target, target))
    if not size or not np.isfinite(size):
        return None
    others = [_beginning(tensor).astype(np.float64) - target for tensor in row.candidates]
    stacked = np.stack([target, *others])  # (1 + candidates, numbers)
    gram = stacked @ stacked.T / size
    return gram if np.isfinite(gram).all() else None


def _beginning(tensor: Tensor) -> Floats:
    """The first SAMPLE numbers; no more is read than the pieces that hold them."""
    held: list[Floats] = []
    count = 0
    for values in floats(tensor):
        held.append(values[: SAMPLE - count])
        count += held[-1].size
        if count >= SAMPLE:
            break
    return np.concatenate(held) if held else np.empty(0, np.float32)


def nearest_sum(products: Products) -> Mixture:
    """The weights x that make |t - Σ x c|² least, without those that are next to nothing.

    The weights are held to nothing: neither to a sum of 1 nor to be positive. Candidates that are
    one and the same must not be among them.
    """
    gram, count = products.whole
    chosen = list(range(1, len(products.names) + 1))
    weights = _solve(gram, chosen)
    while len(chosen) > 1 and float(np.abs(weights).min()) < LEAST:
        del chosen[int(np.abs(weights).argmin())]
        weights = _solve(gram, chosen)
    order = sorted(range(len(chosen)), key=lambda i: -abs(float(weights[i])))
    chosen = [chosen[i] for i in order]
    ranked = weights[order]
    terms = tuple(
        Term(products.names[i - 1], float(weight)) for i, weight in zip(chosen, ranked, strict=True)
    )
    blocks = tuple(_by_block(products, chosen, ranked))
    return Mixture(terms, _residual(gram, chosen, ranked, count), blocks)


def _by_block(products: Products, chosen: Sequence[int], whole: Matrix) -> Iterator[BlockMix]:
    """Each block's own weights, which stay at those of the whole where a block cannot tell."""
    for name, (gram, count) in products.blocks.items():
        weights = _solve(gram, chosen, near=whole, hold=HOLD * count)
        residual = _residual(gram, chosen, weights, count)
        yield BlockMix(name, tuple(float(weight) for weight in weights), residual, count)


def _solve(
    gram: Matrix, chosen: Sequence[int], *, near: Matrix | None = None, hold: float = 0.0
) -> Matrix:
    """Least squares by the normal equations of c = t + e, of which G holds t·t, t·e and e·e.

    near, hold: weights to start from, and the price of going away from them (ridge regression).
    """
    rows = list(chosen)
    t, e = float(gram[0, 0]), gram[0, rows]
    inner: Matrix = t + e[:, None] + e[None, :] + gram[np.ix_(rows, rows)]
    start: Matrix = np.zeros(len(rows)) if near is None else near
    priced: Matrix = inner + hold * np.eye(len(rows))
    left: Matrix = t + e - inner @ start
    return start + np.linalg.lstsq(priced, left, rcond=1e-13)[0]


def _residual(gram: Matrix, chosen: Sequence[int], weights: Matrix, count: int) -> float:
    """|t - Σ x c| = |(1 - Σ x) t - Σ x e|, which keeps its digits where c is almost t."""
    x = np.zeros(len(gram))
    x[0] = 1 - float(weights.sum())
    x[list(chosen)] = -weights
    return sqrt(max(0.0, float(x @ gram @ x)) / max(1, count))
