"""Sums over whole tensors that come out the same on any number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

SLICE = 1 << 18
"""numbers that are worked on at a time, so that intermediate values stay in the cache"""


def slices(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Flat views of the same SLICE numbers of each tensor, in turn; writing to them writes there.

    The tensors are contiguous and have equally many numbers.
    """
    flat = [tensor.view(-1) for tensor in tensors]
    for start in range(0, flat[0].numel(), SLICE):
        yield tuple(view[start : start + SLICE] for view in flat)


def inner(a: Tensor, b: Tensor) -> float:
    """The inner product of two tensors as vectors, in float64.

    By numpy, whose order of adding does not depend on the number of threads: a merge made again
    elsewhere has the same bytes.
    """
    total = 0.0
    for x, y in slices(a, b):
        total += float(np.sum(x.numpy().astype(np.float64) * y.numpy()))
    return total
