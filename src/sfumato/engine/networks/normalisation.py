"""How many groups a network's GroupNorms divide their channels into."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd


def norm_groups(widths: Sequence[int]) -> int:
    """32, as published; in narrow networks as many as leave 4 channels of the first level to each.

    Fewer where these do not divide every one of `widths`, and so every sum of them.
    """
    return gcd(min(32, widths[0] // 4), *widths)
