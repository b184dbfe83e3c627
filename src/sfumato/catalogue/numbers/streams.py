"""The numbers of a tensor as blocks of float32, alone and beside those of another one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sfumato.catalogue.numbers.measure import BLOCK
from sfumato.containers.arrays import Floats, to_float32
from sfumato.containers.tensor import Tensor


def floats(tensor: Tensor) -> Iterator[Floats]:
    """All numbers of a float tensor in order, in blocks of at most BLOCK."""
    step = BLOCK * tensor.dtype.bits // 8
    for chunk in tensor.chunks():
        raw = memoryview(chunk).cast("B")
        for start in range(0, raw.nbytes, step):
            yield to_float32(raw[start : start + step], tensor.dtype)


def side_by_side(
    first: Iterator[Floats], second: Iterator[Floats]
) -> Iterator[tuple[Floats, Floats]]:
    """Blocks of equal length: the pieces of two types do not end at the same numbers."""
    a = b = np.empty(0, np.float32)
    while True:
        a = a if a.size else next(first, a)
        b = b if b.size else next(second, b)
        size = min(a.size, b.size)
        if not size:
            return
        yield a[:size], b[:size]
        a, b = a[size:], b[size:]
