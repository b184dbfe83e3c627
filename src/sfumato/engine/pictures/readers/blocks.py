"""The blocks of a picture file that hold text, as they stand there."""

from __future__ import annotations

from dataclasses import dataclass

MOST = 16 << 20
"""bytes of one block that is read"""


@dataclass(slots=True)
class Blocks:
    """What was found; empty for what was not."""

    size: tuple[int, int] = (0, 0)
    """width and height"""
    exif: bytes = b""
    xmp: bytes = b""
    comment: bytes = b""
