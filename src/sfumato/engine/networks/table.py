"""A table of rows that are looked up by number."""

from __future__ import annotations

import torch
from torch import nn


def spread(*shape: int, deviation: float) -> nn.Parameter:
    """Evenly spread random numbers of a standard deviation.

    Not normal ones: asking for those on the meta device imports half of torch, a second's work.
    """
    edge = 3**0.5 * deviation
    return nn.Parameter(torch.empty(shape).uniform_(-edge, edge))


class Table(nn.Embedding):
    """`rows` rows of `width` numbers each."""

    def __init__(self, rows: int, width: int, *, deviation: float = 0.02) -> None:
        weight = spread(rows, width, deviation=deviation)
        super().__init__(rows, width, _weight=weight)  # pyright: ignore[reportUnknownMemberType]
