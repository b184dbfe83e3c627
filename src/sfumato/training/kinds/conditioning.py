"""What SDXL is told about a picture while it learns: its own size, and where it was cropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sfumato.engine.encoding.vector import AESTHETIC, vectors
from sfumato.engine.model import Model
from sfumato.training.data.buckets import Fit


class Seen(NamedTuple):
    """A picture as it is learned: which part of it, and what it was before."""

    size: tuple[int, int]
    """width and height of the file"""
    fit: Fit
    across: float = 0.5
    """where it was cropped, 0 … 1"""
    down: float = 0.5
    flip: bool = False


def sizes_seen(seen: Seen, family: str) -> tuple[float, ...]:
    """Original height and width, top and left of the crop, height and width of the bucket.

    The crop is told in pixels of the scaled picture, seen mirrored where the picture is (Podell et
    al. 2023, section 2.2, https://arxiv.org/abs/2307.01952; kohya for mirrored ones). The refiner
    is told a score in place of the last two.
    """
    fit = seen.fit
    spare = [scaled - kept for scaled, kept in zip(fit.scaled, fit.bucket, strict=True)]
    left, top = round(spare[0] * seen.across), round(spare[1] * seen.down)
    left = spare[0] - left if seen.flip else left
    told = (seen.size[1], seen.size[0], top, left)
    return (*told, AESTHETIC[False]) if family == "sdxl-refiner" else (*told, *fit.bucket[::-1])


def vectors_seen(model: Model, encoded: Tensor, pictures: Sequence[Seen]) -> Tensor:
    """Encoded vectors (b, labels) with each picture's own sizes in the place of the usual ones."""
    last = model.encoders[-1].sizes
    pooled = encoded[:, : last.projection or last.width]
    rows = [
        vectors(model, one[None], sizes_seen(picture, model.family))
        for one, picture in zip(pooled, pictures, strict=True)
    ]
    return torch.cat(rows)
