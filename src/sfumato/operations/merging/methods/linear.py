"""Merges that are sums: of two models, of several, of one and a difference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.operations.merging.method import Weight, Weights


def weighted_sum(a: Tensor, b: Tensor, *, alpha: Weight = 0.5) -> Tensor:
    """(1 - alpha) A + alpha B: a tone between two models.

    alpha: share of B: 0 gives A, 1 gives B

    Exact at both ends, and where both models have the same number.
    """
    return a.lerp_(b, alpha)


def add_difference(a: Tensor, b: Tensor, c: Tensor, *, alpha: Weight = 1.0) -> Tensor:
    """A + alpha (B - C): what B learned since C, added to A.

    alpha: how much of the difference
    """
    return a.add_(b.sub_(c), alpha=alpha)


def sum(*models: Tensor, weights: Weights = ()) -> Tensor:
    """w1 A + w2 B + w3 C …: any number of models; negative weights take away.

    weights: one for each model; equal shares if not given

    Computed as A times the sum of all weights, plus the other models' differences from A, so that
    equal models stay as they are.
    """
    first, *others = models
    shares = shares_of(weights, len(models))
    total = math.fsum(shares)
    differences = [other.sub_(first).mul_(w) for other, w in zip(others, shares[1:], strict=True)]
    if not math.isclose(total, 1.0, rel_tol=1e-9):
        first.mul_(total)
    for difference in differences:
        first.add_(difference)
    return first


def shares_of(weights: Weights, count: int) -> tuple[float, ...]:
    """The weights, or `count` equal shares where none are given."""
    return tuple(weights) or (1.0 / count,) * count
