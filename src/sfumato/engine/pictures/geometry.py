"""Bringing pictures to another size: the ways that A1111 offers, and sizes that models take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from sfumato.engine.request import Resize

Size = tuple[int, int]
"""width and height in pixels"""

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; right and bottom are outside"""

STEP = 8
"""pixels of a picture to one of its latent"""


def whole_latents(width: int, height: int) -> Size:
    """The largest size within width × height whose sides are multiples of 8; 8 at least."""
    return max(STEP, width // STEP * STEP), max(STEP, height // STEP * STEP)


def resize(image: Image, size: Size, how: Resize = "stretch") -> Image:
    """`image` at `size`: stretched, cropped to the aspect, or with its edges drawn out to it.

    "latent" leaves the picture as it is: the latent is stretched later. Raises UsageError for a
    size without pixels.
    """
    if min(size) < 1:
        raise UsageError(f"a picture of {size[0]} × {size[1]} pixels was asked for")
    if how == "latent" or image.size == size:
        return image
    if how == "stretch":
        return _scaled(image, size)
    inner = _scaled(
        image, covering(image.size, size) if how == "crop" else within(image.size, size)
    )
    return _centred(inner, size)


def covering(source: Size, target: Size) -> Size:
    """The size with the aspect of `source` that covers `target` and reaches it on one side."""
    wide = target[0] * source[1] > target[1] * source[0]
    if wide:
        return target[0], max(1, source[1] * target[0] // source[0])
    return max(1, source[0] * target[1] // source[1]), target[1]


def within(source: Size, target: Size) -> Size:
    """The size with the aspect of `source` that fits into `target` and reaches it on one side."""
    wide = target[0] * source[1] >= target[1] * source[0]
    if wide:
        return max(1, source[0] * target[1] // source[1]), target[1]
    return target[0], max(1, source[1] * target[0] // source[0])


def flatten(image: Image, background: tuple[int, int, int] = (255, 255, 255)) -> Image:
    """An RGB picture; what is transparent shows the background."""
    from PIL import Image as Images

    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    sheet = Images.new("RGBA", image.size, (*background, 255))
    sheet.alpha_composite(image.convert("RGBA"))
    return sheet.convert("RGB")


def _scaled(image: Image, size: Size) -> Image:
    from PIL.Image import Resampling

    return image if image.size == size else image.resize(size, Resampling.LANCZOS)


def _centred(image: Image, size: Size) -> Image:
    """The middle of a picture, or the picture in the middle with its edge pixels repeated."""
    import numpy as np
    from PIL import Image as Images

    pixels = np.asarray(image)
    for axis, wanted in ((0, size[1]), (1, size[0])):
        have = pixels.shape[axis]
        before = wanted // 2 - have // 2
        if have > wanted:
            pixels = np.take(pixels, range(-before, wanted - before), axis)
        else:
            spread = [(0, 0)] * pixels.ndim
            spread[axis] = (before, wanted - have - before)
            pixels = np.pad(pixels, spread, mode="edge")
    return Images.fromarray(np.ascontiguousarray(pixels), image.mode)
