"""A JPEG file as far as texts are in it: its size, its EXIF, XMP and comments."""

from __future__ import annotations

from sfumato.containers.source import Source
from sfumato.engine.pictures.readers.blocks import Blocks
from sfumato.errors import Damaged

START, SCAN, COMMENT, APP1 = 0xD8, 0xDA, 0xFE, 0xE1
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""markers that tell the size"""
ALONE = frozenset((0x01, *range(0xD0, 0xD8)))
"""markers without a length"""

EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
SEGMENTS = 10_000


def jpeg_blocks(source: Source) -> Blocks:
    """The blocks before the first pixels; raises Damaged where a segment leads outside."""
    blocks, place = Blocks(), 2
    for _ in range(SEGMENTS):
        if place + 4 > source.size:
            raise Damaged(source.path, "is a JPEG that ends before its pixels; it is cut off")
        fill, marker, high, low = source.read(place, 4)
        if fill != 0xFF:
            raise Damaged(source.path, f"is a JPEG with no marker at {place}")
        if marker == 0xFF or marker in ALONE:
            place += 1 if marker == 0xFF else 2
            continue
        if marker == SCAN:
            return blocks
        length = high << 8 | low
        if length < 2 or place + 2 + length > source.size:
            raise Damaged(source.path, f"is a JPEG with a segment at {place} that leads outside")
        _take(blocks, marker, source.read(place + 4, length - 2))
        place += 2 + length
    raise Damaged(source.path, f"is a JPEG of more than {SEGMENTS} segments")


def _take(blocks: Blocks, marker: int, data: bytes) -> None:
    if marker in FRAMES and len(data) >= 5:
        blocks.size = int.from_bytes(data[3:5], "big"), int.from_bytes(data[1:3], "big")
    elif marker == APP1 and data.startswith(EXIF):
        blocks.exif = blocks.exif or data
    elif marker == APP1 and data.startswith(XMP):
        blocks.xmp = blocks.xmp or data[len(XMP) :]
    elif marker == COMMENT:
        blocks.comment = blocks.comment or data
