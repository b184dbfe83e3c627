"""Masks: which pixels are painted anew, and how the new ones are laid over the old."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Images
from PIL import ImageFilter, ImageOps

from sfumato.engine.pictures.geometry import Box, Size, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from sfumato.engine.request import Inpaint, Resize

PYRAMID = ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1))
"""radius of the blur in pixels, and how often the blurred picture is laid on"""


def mask_of(picture: Image, *, rounded: bool = True, invert: bool = False) -> Image:
    """An "L" mask, white where a picture is painted anew.

    It is the picture's alpha where that varies (above 128 is white; `rounded` False keeps its
    greys), else its brightness.
    """
    # Pillow has no way from L*a*b* to greys but the one through colours.
    mask = (picture.convert("RGB") if picture.mode == "LAB" else picture).convert("L")
    if picture.mode == "RGBA" and picture.getchannel("A").getextrema() != (255, 255):
        alpha = picture.getchannel("A")
        mask = alpha.point([255 * (level > 128) for level in range(256)]) if rounded else alpha
    return ImageOps.invert(mask) if invert else mask


def blurred(mask: Image, blur: tuple[int, int]) -> Image:
    """A mask blurred across and down; sigma in pixels, kernel of 2·int(2.5·sigma + 0.5) + 1.

    The edges mirror what is inside, without the outermost pixel twice.
    """
    pixels = np.asarray(mask, np.float32)
    for axis, sigma in ((1, blur[0]), (0, blur[1])):
        if sigma > 0:
            pixels = np.rint(_convolved(pixels, kernel(sigma), axis))
    return Images.fromarray(pixels.clip(0, 255).astype(np.uint8), "L")


def kernel(sigma: float) -> NDArray[np.float32]:
    """A Gaussian of odd length, whose sum is 1; OpenCV's, as A1111 asks for it."""
    reach = int(2.5 * sigma + 0.5)
    x = np.arange(-reach, reach + 1, dtype=np.float64)
    weights = np.exp(-(x**2) / (2 * sigma**2))
    return (weights / weights.sum()).astype(np.float32)


def _convolved(
    pixels: NDArray[np.float32], weights: NDArray[np.float32], axis: int
) -> NDArray[np.float32]:
    reach, length = len(weights) // 2, pixels.shape[axis]
    # Mirrored as often as the kernel reaches beyond: small masks are narrower than it.
    period = max(1, 2 * (length - 1))
    around = [abs(place) % period for place in range(-reach, length + reach)]
    padded = np.take(pixels, [min(place, period - place) for place in around], axis)
    parts = (
        weight * np.take(padded, range(start, start + length), axis)
        for start, weight in enumerate(weights)
    )
    return sum(parts, np.zeros_like(pixels))


def region(mask: Image, padding: int) -> Box | None:
    """The box around what is not black, with `padding` pixels around; None for a blank mask."""
    box = mask.getbbox()
    if box is None:
        return None
    left, top, right, bottom = box
    return (
        max(left - padding, 0),
        max(top - padding, 0),
        min(right + padding, mask.width),
        min(bottom + padding, mask.height),
    )


def grown(box: Box, aspect: Size, within: Size) -> Box:
    """A box grown on its shorter side to the aspect of a size, moved and cut to stay inside."""
    left, top, right, bottom = box
    across, down = right - left, bottom - top
    if across * aspect[1] > down * aspect[0]:
        top, bottom = _longer(top, bottom, int(across * aspect[1] / aspect[0]), within[1])
    else:
        left, right = _longer(left, right, int(down * aspect[0] / aspect[1]), within[0])
    return left, top, right, bottom


def _longer(start: int, end: int, length: int, limit: int) -> tuple[int, int]:
    """A span lengthened on both sides to `length`, then moved into 0 … limit, then cut."""
    more = length - (end - start)
    start, end = start - more // 2, end + more - more // 2
    back = max(0, end - limit)
    start, end = start - back, end - back
    forth = max(0, -start)
    return start + forth, min(end + forth, limit)


def filled(picture: Image, mask: Image) -> Image:
    """A picture whose masked part shows the colours around it, smeared in ("fill")."""
    inverse = ImageOps.invert(mask.convert("L"))
    kept = Images.new("RGBa", picture.size)
    kept.paste(picture.convert("RGBA").convert("RGBa"), mask=inverse)
    sheet = Images.new("RGBA", picture.size)
    for radius, times in PYRAMID:
        smeared = kept.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(times):
            sheet.alpha_composite(smeared)
    return sheet.convert("RGB")


@dataclass(frozen=True, slots=True)
class Masked:
    """A picture and a mask made ready to paint with, and what is needed to put it back."""

    picture: Image
    """RGB, of the size that is painted (its own where the latent is stretched)"""
    mask: Image
    """L, of the size that is painted"""
    overlay: Image
    """RGBA, the whole picture: what stays, transparent where it was painted anew"""
    box: Box | None
    """the part of the whole picture that is painted; None for all of it"""


def prepare(picture: Image, inpaint: Inpaint, size: Size, how: Resize) -> Masked | None:
    """All that inpainting needs of a picture; None where the mask is blank and "Only masked" asked.

    `size` is what is painted. "Whole picture" brings picture and mask to it by `how`; "Only masked"
    cuts the region out (with its padding, grown to the aspect of `size`) and paints that at `size`.
    """
    mask = mask_of(inpaint.mask, rounded=inpaint.round, invert=inpaint.invert)
    mask = blurred(mask, inpaint.blur)
    if mask.size != picture.size:
        mask = resize(mask, picture.size)
    box = None
    if inpaint.whole:
        shape = "stretch" if how == "latent" else how
        whole, painted = resize(picture, size, shape), resize(mask, size, shape)
        over = painted.point([min(2 * level, 255) for level in range(256)])
        part = resize(picture, size, how)
    else:
        found = region(mask, inpaint.padding)
        if found is None:
            return None
        box = grown(found, size, mask.size)
        whole, over = picture, mask
        part, painted = (resize(one.crop(box), size, "fill") for one in (picture, mask))
    if inpaint.fill != "original":
        part = filled(part, painted if painted.size == part.size else mask)
    return Masked(part.convert("RGB"), painted, overlay(whole, over), box)


def overlay(picture: Image, mask: Image) -> Image:
    """A picture that is transparent where a mask is white."""
    if mask.size != picture.size:
        mask = resize(mask, picture.size)
    sheet = Images.new("RGBa", picture.size)
    sheet.paste(picture.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask))
    return sheet.convert("RGBA")


def laid_over(painted: Image, over: Image, box: Box | None = None) -> Image:
    """What was painted, put back into its box of the whole, under what stays of the picture."""
    whole = painted.convert("RGBA")
    if box is not None:
        left, top, right, bottom = box
        whole = Images.new("RGBA", over.size)
        whole.paste(resize(painted, (right - left, bottom - top), "crop").convert("RGBA"), box[:2])
    elif whole.size != over.size:
        whole = resize(whole, over.size)
    whole.alpha_composite(over)
    return whole.convert("RGB")


def latent_mask(mask: Image, size: Size, *, rounded: bool = True) -> NDArray[np.float32]:
    """The mask of a latent of width × height: (height, width), 1 where it is painted.

    Resized by Pillow's bicubic filter, as A1111 does; `rounded` leaves only 0 and 1.
    """
    small = np.asarray(mask.convert("RGB").resize(size), np.uint8)[..., 0]
    share = (small / 255).astype(np.float32)
    return np.rint(share) if rounded else share
