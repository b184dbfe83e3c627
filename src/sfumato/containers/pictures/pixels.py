"""The hidden half of a picture embedding: bytes in the low four bits of the outer columns.

A picture is three blocks side by side with a black column between them: low halves of the bytes,
what a person sees, high halves (A1111, image_embedding.py).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""(height, width, 3)"""

FACTOR, STEP = 1664525, 1013904223
"""of the linear congruential generator modulo 2^32 that hides the data"""

GRID, SIZE, ODD = 8, 6, 4
"""of the ellipses that decorate a block: the side of their grid, their own, how far odd columns
are moved"""


class NoPayloadError(ValueError):
    """The pixels hide nothing; the text is one clause."""


class SpoiltPayloadError(NoPayloadError):
    """The pixels hid something, and it cannot be read any more."""


def noise(count: int) -> Pixels:
    """The first values of the generator: its states modulo 255, from state 0 on."""
    states = np.zeros(1, np.uint32)
    factor, step = np.uint32(FACTOR), np.uint32(STEP)
    # States that are k apart are one linear step apart as well: each round doubles their number.
    with np.errstate(over="ignore"):
        while len(states) <= count:
            states = np.concatenate((states, states * factor + step))
            factor, step = np.uint32(factor * factor), np.uint32(factor * step + step)
    return (states[1 : count + 1] % 255).astype(np.uint8)


def extract(pixels: Pixels, most: int) -> bytes:
    """The bytes hidden in a picture, at most so many; NoPayloadError where there are none."""
    low_bits = _cropped(pixels) & 15
    black = np.flatnonzero(~low_bits.any(axis=(0, 2)))
    if len(black) < 2:
        raise NoPayloadError("has no black columns, so nothing is hidden in it")
    low, high = low_bits[:, : black[0]], low_bits[:, black[-1] + 1 :]
    if low.shape != high.shape or not low.size:
        raise NoPayloadError("has no two blocks of one size at its sides")
    hidden = noise(low.size).reshape(low.shape) & 15
    packed = ((high ^ hidden) << 4 | (low ^ hidden)).tobytes()
    if packed[0] & 15 != 8 or (packed[0] << 8 | packed[1]) % 31:
        raise NoPayloadError("has black columns, but no compressed data beside them")
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(packed, most + 1)
    except zlib.error as error:
        raise SpoiltPayloadError(
            "has hidden data that are damaged: the picture was changed"
        ) from error
    if len(found) > most:
        raise SpoiltPayloadError(f"hides more than {most} bytes")
    if not inflater.eof:
        raise SpoiltPayloadError("has hidden data that are cut off")
    return found


def embed(payload: bytes, middle: Pixels, vector: Sequence[float]) -> Pixels:
    """A picture that hides `payload` on both sides of `middle`, decorated after `vector`."""
    packed = np.frombuffer(zlib.compress(payload, 9), np.uint8)
    height = len(middle)
    shades = _shades(vector)
    low = _block(np.bitwise_and(packed, 15, dtype=np.uint8), height, shades)
    high = _block(np.right_shift(packed, 4, dtype=np.uint8), height, shades[::-1])
    column = np.zeros((height, 1, 3), np.uint8)
    return np.concatenate((low, column, middle, column, high), axis=1)


def _cropped(pixels: Pixels) -> Pixels:
    """Without the edges where no pixel has all three colours above zero."""
    lit = pixels.min(axis=2) > 0
    rows, columns = np.flatnonzero(lit.max(axis=1)), np.flatnonzero(lit.max(axis=0))
    if not len(rows):
        raise NoPayloadError("is black")
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _block(halves: Pixels, height: int, shades: Pixels) -> Pixels:
    """Half bytes as pixels, repeated until they fill whole columns of three colours."""
    width = -(-len(halves) // (3 * height))
    data = np.resize(halves, (height, width, 3))
    shown = _ellipses(height, width, shades)[:, :, np.newaxis] & np.uint8(0xF0)
    return data ^ shown ^ (noise(data.size).reshape(data.shape) & np.uint8(15))


def _shades(vector: Sequence[float]) -> Pixels:
    """The size of each number of a vector as a grey."""
    sizes = np.abs(np.asarray(vector, np.float64)[:1024])
    largest = sizes.max(initial=0)
    if not np.isfinite(largest) or largest == 0:
        return np.full(1, 128, np.uint8)
    return (sizes / largest * 255).astype(np.uint8)


def _ellipses(height: int, width: int, shades: Pixels) -> Pixels:
    """Grey dots that show the vector: for the eye only, nothing reads them."""
    from PIL import Image, ImageDraw

    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    count = 0
    for number, x in enumerate(range(-ODD, width, GRID)):
        top = -ODD if number % 2 else 0
        for y in range(top, height, GRID):
            shade = int(shades[count % len(shades)])
            draw.ellipse((x, y, x + SIZE, y + SIZE), fill=shade)
            count += 1
    return np.array(image, np.uint8)
