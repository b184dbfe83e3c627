"""A WebP file as far as texts are in it: its size, its EXIF and XMP."""

from __future__ import annotations

from sfumato.containers.source import Source
from sfumato.engine.pictures.readers.blocks import MOST, Blocks
from sfumato.errors import Damaged

CHUNKS = 100_000
"""an animation has one for each frame"""


def webp_blocks(source: Source) -> Blocks:
    """The blocks of a still or moving picture; raises Damaged where a chunk leads outside."""
    blocks, place = Blocks(), 12
    for _ in range(CHUNKS):
        if place + 8 > source.size:
            return blocks
        head = source.read(place, 8)
        kind, length = head[:4], int.from_bytes(head[4:], "little")
        if place + 8 + length > source.size:
            raise Damaged(source.path, f"is a WebP with a chunk at {place} that leads outside")
        if kind == b"EXIF":
            blocks.exif = source.read(place + 8, min(length, MOST))
        elif kind == b"XMP ":
            blocks.xmp = source.read(place + 8, min(length, MOST))
        elif not any(blocks.size):
            blocks.size = _size(kind, source.read(place + 8, min(length, 10)))
        place += 8 + length + length % 2
    raise Damaged(source.path, f"is a WebP of more than {CHUNKS} chunks")


def _size(kind: bytes, data: bytes) -> tuple[int, int]:
    if kind == b"VP8X" and len(data) == 10:
        return 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")
    if kind == b"VP8L" and len(data) >= 5:
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(data) == 10:
        sides = data[6:8], data[8:10]
        width, height = (int.from_bytes(side, "little") & 0x3FFF for side in sides)
        return width, height
    return 0, 0
