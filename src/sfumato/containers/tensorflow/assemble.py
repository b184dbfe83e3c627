"""A tensor put together from slices that were saved one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from sfumato.containers.dtype import DType
from sfumato.containers.tensor import Buffer

Bounds = tuple[tuple[int, int], ...]
"""first element and end along each dimension"""


@dataclass(frozen=True, slots=True)
class Piece:
    """One slice."""

    bounds: Bounds
    read: Callable[[], Buffer]

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(end - start for start, end in self.bounds)


def covers(pieces: Sequence[Piece], shape: tuple[int, ...]) -> bool:
    """True where disjoint pieces are exactly the whole tensor."""
    if sum(piece.size for piece in pieces) != prod(shape):
        return False
    filled = sorted(piece.bounds for piece in pieces if piece.size)
    # Variables are divided along one dimension, so neighbours in order are enough to compare.
    return all(_disjoint(a, b) for a, b in pairwise(filled))


def assemble(pieces: Sequence[Piece], dtype: DType, shape: tuple[int, ...]) -> Buffer:
    """The bytes of the whole tensor."""
    import numpy as np

    width = dtype.bits // 8
    whole = np.zeros((*shape, width), np.uint8)
    for piece in pieces:
        place = tuple(slice(start, end) for start, end in piece.bounds)
        sizes = (end - start for start, end in piece.bounds)
        whole[place] = np.frombuffer(piece.read(), np.uint8).reshape(*sizes, width)
    return whole.reshape(-1).data


def _disjoint(a: Bounds, b: Bounds) -> bool:
    return any(x[1] <= y[0] or y[1] <= x[0] for x, y in zip(a, b, strict=True))
