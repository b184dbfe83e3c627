"""Work on a large picture in overlapping tiles, blended so that no seam is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Tiles:
    """How a picture is cut, in pixels of the latent."""

    size: int = 64
    overlap: int = 16
    """at least this much is worked on twice and blended"""
    wrapped: bool = False
    """True where the picture goes on beyond its edges (seamless textures)"""


def spans(length: int, tiles: Tiles) -> list[range]:
    """Where the tiles of one side begin and end: equal sizes, evenly spread."""
    if length <= tiles.size:
        return [range(length)]
    step = tiles.size - tiles.overlap
    count = -(-(length - tiles.overlap) // step)
    last = length - tiles.size
    starts = [round(number * last / (count - 1)) for number in range(count)]
    return [range(start, start + tiles.size) for start in starts]


def in_tiles(
    work: Callable[[Tensor], Tensor], x: Tensor, tiles: Tiles, *, into: int = 1, out: int = 1
) -> Tensor:
    """`work` on (1, c, h·into, w·into) tile by tile, blended linearly: (1, d, h·out, w·out).

    into, out: pixels per pixel of the latent on either side: 1 and 8 to decode, 8 and 1 to encode.
    The result is float32 and on the CPU, where a large picture has room.
    """
    edge = tiles.overlap if tiles.wrapped else 0
    if edge:
        x = _around(x, edge * into)
    height, width = x.shape[2] // into, x.shape[3] // into
    whole: Tensor | None = None
    weight = torch.zeros(height * out, width * out)
    for rows, columns in product(spans(height, tiles), spans(width, tiles)):
        taken = x[..., _scaled(rows, into), _scaled(columns, into)]
        part = work(taken).to("cpu", torch.float32)
        down = _ramp(rows, height, tiles.overlap, out)
        across = _ramp(columns, width, tiles.overlap, out)
        share = down[:, None] * across[None, :]
        if whole is None:
            whole = torch.zeros(1, part.shape[1], height * out, width * out)
        place = (..., _scaled(rows, out), _scaled(columns, out))
        whole[place] += part * share
        weight[place] += share
    assert whole is not None
    return _cut(whole / weight, edge * out)


def _scaled(span: range, by: int) -> slice:
    return slice(span.start * by, span.stop * by)


def _ramp(span: range, length: int, overlap: int, by: int) -> Tensor:
    """Weights along one side: rising from an edge that another tile continues, else 1."""
    count = len(span) * by
    steps = (torch.arange(count) + 0.5) / max(1, overlap * by)
    rise = steps.clamp(max=1) if span.start else torch.ones(count)
    fall = steps.flip(0).clamp(max=1) if span.stop < length else torch.ones(count)
    return torch.minimum(rise, fall)


def _around(x: Tensor, edge: int) -> Tensor:
    """The picture with what lies beyond its edges when it is laid side by side."""
    edge = min(edge, *x.shape[2:])
    return functional.pad(x, (edge,) * 4, mode="circular")


def _cut(x: Tensor, edge: int) -> Tensor:
    return x[..., edge : x.shape[2] - edge, edge : x.shape[3] - edge] if edge else x
