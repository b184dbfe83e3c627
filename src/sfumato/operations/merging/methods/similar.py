"""Merges that look where models agree: supermerger's cosine modes and its train difference."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from sfumato.operations.merging.sums import inner

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.operations.merging.method import Weight

STRENGTH = 1.8
"""what supermerger multiplies alpha by in its train difference"""


Blend = Callable[..., "Tensor"]
"""a cosine mode"""


def train_difference(a: Tensor, b: Tensor, c: Tensor, *, alpha: Weight = 1.0) -> Tensor:
    """A + what training from C to B would have done to A: less where A has gone the way already.

    alpha: how much of it, times 1.8 as in supermerger

    With x = B - C and d = |B - A|, the change is x d / (|x| + d) (supermerger's trainDifference).
    """
    distance = b.sub(a).abs_()
    change = b.sub_(c)
    whole = c.copy_(change).abs_().add_(distance)
    change.mul_(distance.div_(whole.masked_fill_(whole == 0, 1.0)))
    return a.add_(change, alpha=STRENGTH * alpha)


def cosine_a(a: Tensor, b: Tensor, *, alpha: Weight = 0.0) -> Tensor:
    """Keeps A's structure and takes B's details: more of A in columns that look alike.

    alpha: moves all columns from A towards B; 0 as the similarity has it, 1 gives B

    Column by column, A has the share of the cosine between both, less alpha (supermerger's mode
    cosineA, without its scaling by the least and most similar layer of the whole model).
    """
    return _by_column(a, b, _cosines(a, b), alpha)


def cosine_b(a: Tensor, b: Tensor, *, alpha: Weight = 0.0) -> Tensor:
    """As cosine-a, by the mean of each column's similarity and that of the whole tensor.

    alpha: moves all columns from A towards B; 0 as the similarity has it, 1 gives B
    """
    lengths = math.sqrt(inner(a, a)) * math.sqrt(inner(b, b))
    whole = inner(a, b) / lengths if lengths else 1.0
    return _by_column(a, b, _cosines(a, b).add_(whole).div_(2), alpha)


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosine between columns (along the first axis); 1 where one has no length."""
    products = (a * b).sum(0)
    lengths = a.square().sum(0).mul_(b.square().sum(0)).sqrt_()
    return products.div_(lengths).masked_fill_(lengths == 0, 1.0)


def _by_column(a: Tensor, b: Tensor, similarity: Tensor, alpha: float) -> Tensor:
    """The share of A is the similarity less alpha, from 0 to 1."""
    return b.lerp_(a, similarity.sub_(alpha).clamp_(0, 1).expand_as(a))
