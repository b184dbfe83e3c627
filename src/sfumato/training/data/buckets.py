"""The sizes at which pictures of different shape are learned: equal area, their own aspect."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import log

from PIL.Image import Image, Resampling

Size = tuple[int, int]
"""width, height"""


@dataclass(frozen=True, slots=True)
class Fit:
    """How a picture is brought to the size of its bucket."""

    scaled: Size
    """size after scaling, which covers the bucket"""
    bucket: Size


@lru_cache(maxsize=16)
def buckets(resolution: int, step: int) -> tuple[Size, ...]:
    """Sizes whose sides are multiples of `step` and whose area is at most resolution².

    Sides reach from half to twice the resolution, as kohya's trainer has them.
    """
    area = resolution * resolution
    square = resolution // step * step
    found = {(square, square)}
    for width in range(max(step, resolution // 2 // step * step), 2 * resolution + 1, step):
        height = min(area // width // step * step, 2 * resolution)
        if height >= max(step, resolution // 2 // step * step):
            found |= {(width, height), (height, width)}
    return tuple(sorted(found))


def fit(size: Size, resolution: int, step: int, *, square: bool, upscale: bool) -> Fit:
    """The bucket nearest in aspect to a picture of `size`, and the scaling that covers it.

    upscale: False leaves a picture that is smaller than its bucket at its own size and takes the
    bucket that its sides, rounded down, make.
    """
    width, height = size
    side = resolution // step * step
    choices = ((side, side),) if square else buckets(resolution, step)
    aspect = log(width / height)
    bucket = min(choices, key=lambda b: (abs(log(b[0] / b[1]) - aspect), -b[0] * b[1]))
    scale = max(bucket[0] / width, bucket[1] / height)
    if scale > 1 and not upscale:
        bucket = (max(width // step * step, step), max(height // step * step, step))
        bucket = (min(bucket[0], 2 * side), min(bucket[1], 2 * side))
        scale = max(1.0, bucket[0] / width, bucket[1] / height)
        if bucket[0] * bucket[1] > side * side:
            return fit(size, resolution, step, square=square, upscale=True)
    scaled = (max(round(width * scale), bucket[0]), max(round(height * scale), bucket[1]))
    return Fit(scaled, bucket)


def cut(picture: Image, to: Fit, *, across: float = 0.5, down: float = 0.5) -> Image:
    """`picture` scaled and cropped to its bucket; `across` and `down` say where, 0.5 the middle."""
    if picture.size != to.scaled:
        shrinks = to.scaled[0] < picture.width
        picture = picture.resize(to.scaled, Resampling.BOX if shrinks else Resampling.LANCZOS)
    left = round((to.scaled[0] - to.bucket[0]) * across)
    top = round((to.scaled[1] - to.bucket[1]) * down)
    return picture.crop((left, top, left + to.bucket[0], top + to.bucket[1]))
