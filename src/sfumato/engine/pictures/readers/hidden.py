"""Text hidden in the lowest bits of pixels, as NovelAI and some extensions hide it."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

MARKS = (b"stealth_pnginfo", b"stealth_pngcomp", b"stealth_rgbinfo", b"stealth_rgbcomp")
"""in alpha plain and packed, in the colours plain and packed"""

MOST = 16 << 20
"""characters that are unpacked"""


def hidden_text(image: Image) -> str:
    """The text in the lowest bits of a picture; empty for none.

    Bits run down the columns, from left to right; the highest bit of a byte comes first. A mark of
    15 bytes is followed by the number of bits (32 bits) and the text, UTF-8 or that as gzip.
    """
    pixels = np.asarray(image.convert("RGBA"))
    down = pixels.transpose(1, 0, 2)
    return _text(down[..., 3].ravel(), MARKS[:2]) or _text(down[..., :3].ravel(), MARKS[2:])


def _text(values: NDArray[np.uint8], marks: tuple[bytes, bytes]) -> str:
    head = _bytes(values[: 8 * 19])
    if head[:15] not in marks:
        return ""
    nbits = int.from_bytes(head[15:19], "big")
    data = _bytes(values[8 * 19 : 8 * 19 + min(nbits, 8 * MOST)])
    if head[:15] == marks[1]:
        try:
            data = zlib.decompressobj(31).decompress(data, MOST)
        except zlib.error:
            return ""
    return data.decode("utf-8", "replace")


def _bytes(values: NDArray[np.uint8]) -> bytes:
    return np.packbits(values & 1).tobytes()
