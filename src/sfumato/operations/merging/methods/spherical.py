"""Merges along an arc: slerp, and the part of a difference that stands at right angles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sfumato.operations.merging.sums import inner

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.operations.merging.method import Weight

STRAIGHT = 1e-4
"""angle in radians below which an arc is a line"""


def slerp(a: Tensor, b: Tensor, *, alpha: Weight = 0.5) -> Tensor:
    """From A to B along the arc between them (Shoemake 1985), so that lengths do not shrink.

    alpha: share of the way to B

    Each tensor is one vector. Directions turn evenly and the length goes linearly from A's to B's;
    vectors that point the same way, or have no length, are interpolated in a straight line.
    """
    length_a, length_b = math.sqrt(inner(a, a)), math.sqrt(inner(b, b))
    if not length_a or not length_b:
        return a.lerp_(b, alpha)
    cosine = min(1.0, max(-1.0, inner(a, b) / (length_a * length_b)))
    angle = math.acos(cosine)
    if angle < STRAIGHT or math.pi - angle < STRAIGHT:
        return a.lerp_(b, alpha)
    length = (1 - alpha) * length_a + alpha * length_b
    part_a = math.sin((1 - alpha) * angle) / math.sin(angle) * length / length_a
    part_b = math.sin(alpha * angle) / math.sin(angle) * length / length_b
    return a.mul_(part_a).add_(b, alpha=part_b)


def add_perpendicular(a: Tensor, b: Tensor, c: Tensor, *, alpha: Weight = 1.0) -> Tensor:
    """A + alpha times the part of B - C that is at right angles to A - C: nothing counts twice.

    alpha: how much of the difference

    Each tensor is one vector.
    """
    b.sub_(c)
    own = c.neg_().add_(a)
    length = inner(own, own)
    shared = inner(b, own) / length if length else 0.0
    return a.add_(b, alpha=alpha).add_(own, alpha=-alpha * shared)
