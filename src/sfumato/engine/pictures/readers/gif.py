"""A GIF file as far as texts are in it: its size and its comment."""

from __future__ import annotations

from sfumato.containers.source import Source
from sfumato.engine.pictures.readers.blocks import Blocks

HEAD = 4 << 20
"""bytes from the start in which the comment is looked for"""

EXTENSION, IMAGE, COMMENT = 0x21, 0x2C, 0xFE


def gif_blocks(source: Source) -> Blocks:
    """Size and first comment; what is cut off is left out."""
    data = source.read(0, min(source.size, HEAD))
    blocks = Blocks()
    if len(data) < 13:
        return blocks
    blocks.size = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    place = 13 + _colours(data[10])
    while place + 2 <= len(data) and not blocks.comment:
        if data[place] == EXTENSION:
            text, end = _joined(data, place + 2)
            blocks.comment = text if data[place + 1] == COMMENT else b""
        elif data[place] == IMAGE and place + 10 <= len(data):
            _, end = _joined(data, place + 11 + _colours(data[place + 9]))
        else:
            break
        place = end
    return blocks


def _colours(flags: int) -> int:
    """Bytes of the table of colours that flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _joined(data: bytes, place: int) -> tuple[bytes, int]:
    """Pieces of at most 255 bytes, up to an empty one; and where that ends."""
    parts: list[bytes] = []
    while place < len(data) and data[place]:
        parts.append(data[place + 1 : place + 1 + data[place]])
        place += 1 + data[place]
    return b"".join(parts), place + 1
