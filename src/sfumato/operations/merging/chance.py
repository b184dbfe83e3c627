"""Chance that repeats: which numbers of a tensor are dropped, by a seed and by its name."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sfumato.operations.merging.sums import SLICE, slices

if TYPE_CHECKING:
    from torch import Tensor

WHOLE = float(1 << 32)


def seeded(seed: int, name: str) -> int:
    """A seed of 64 bits for the tensor of that name."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


class Draws:
    """A stream of uniform numbers that is the same on every machine."""

    def __init__(self, seed: int, number: int) -> None:
        """`number` tells the models of one tensor apart."""
        # The raw output of a bit generator is what numpy promises to keep.
        self._bits = np.random.Philox(key=[seed, number])

    def below(self, count: int, chances: NDArray[np.float64] | float) -> NDArray[np.bool_]:
        """True with a chance, for each of `count` numbers."""
        raw = np.atleast_1d(self._bits.random_raw((count + 1) // 2)).view(np.uint32)[:count]
        return raw < np.multiply(chances, WHOLE)


def dropped(change: Tensor, rate: float, seed: int, number: int) -> Tensor:
    """`change` with a share `rate` of its numbers zero by chance, the rest divided by 1 - rate.

    In place. Nothing is left where `rate` is 1.
    """
    import torch

    if rate >= 1:
        return change.zero_()
    draws = Draws(seed, number)
    for (piece,) in slices(change):
        gone = draws.below(piece.numel(), rate)
        piece.masked_fill_(torch.as_tensor(gone), 0.0).div_(1 - rate)
    return change


def dropped_by_rank(change: Tensor, rate: float, spread: float, seed: int, number: int) -> Tensor:
    """The same with chances that go by size in each row: rate + spread/2 for the smallest number
    down to rate - spread/2 for the largest (Deep, Bhardwaj and Poria 2024, MagPrune).

    In place. A row is all that leads to one output of a layer; a vector is one row.
    """
    import torch

    draws = Draws(seed, number)
    rows = change.view(change.shape[0] if change.dim() > 1 else 1, -1)
    width = rows.shape[1]
    for start in range(0, len(rows), max(1, SLICE // max(1, width))):
        some = rows[start : start + max(1, SLICE // max(1, width))]
        chances = _chances(some, rate, spread)
        gone = draws.below(some.numel(), chances.reshape(-1)).reshape(chances.shape)
        kept = np.where(gone | (chances >= 1), 0.0, 1.0 / np.maximum(1 - chances, 1e-9))
        some.mul_(torch.as_tensor(kept.astype(np.float32)))
    return change


def _chances(rows: Tensor, rate: float, spread: float) -> NDArray[np.float64]:
    """The chance of each number of some rows to be dropped."""
    sizes = np.abs(rows.numpy())
    if sizes.shape[1] < 2:
        return np.full(sizes.shape, rate)
    order = np.argsort(sizes, axis=1, kind="stable")
    ranks = np.argsort(order, axis=1, kind="stable")
    return np.clip(rate + spread * (0.5 - ranks / (sizes.shape[1] - 1)), 0.0, 1.0)
