"""The k-th largest number of a tensor without its sign, found in slices and without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sfumato.operations.merging.sums import slices

if TYPE_CHECKING:
    from torch import Tensor

INFINITE = float("inf")


def smallest_kept(tensor: Tensor, density: float) -> float:
    """The smallest number, without its sign, among the largest `density` of a float32 tensor.

    Everything that is at least as large belongs to them. 0 where all do, infinity where none does.

    Floats without sign are in the order of their bits, so two counts are enough: one of the upper
    halves, and one of the lower halves of those in the decisive bin (a radix selection).
    """
    count = tensor.numel()
    kept = round(density * count)
    if kept >= count:
        return 0.0
    if kept <= 0:
        return INFINITE
    high, rest = _bin(_histogram(tensor, None), kept)
    low, _ = _bin(_histogram(tensor, high), rest)
    return float(np.uint32(high << 16 | low).view(np.float32))


def _histogram(tensor: Tensor, high: int | None) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """How often each upper half occurs; with `high`, each lower half below that upper half."""
    counts = np.zeros(1 << 16, np.int64)
    for (piece,) in slices(tensor):
        bits = piece.numpy().view(np.uint32) & np.uint32(0x7FFFFFFF)
        halves = bits >> 16
        if high is not None:
            halves = bits[halves == high] & np.uint32(0xFFFF)
        counts += np.bincount(halves, minlength=1 << 16)
    return counts


def _bin(counts: np.ndarray[tuple[int], np.dtype[np.int64]], kept: int) -> tuple[int, int]:
    """The bin in which the `kept` largest end, and how many of it are still among them."""
    above = np.cumsum(counts[::-1])
    place = int(np.searchsorted(above, kept))
    before = int(above[place - 1]) if place else 0
    return len(counts) - 1 - place, kept - before
