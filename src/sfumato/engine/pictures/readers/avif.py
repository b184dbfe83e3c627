"""An AVIF file as far as texts are in it: its size and its EXIF item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sfumato.containers.source import Source
from sfumato.engine.pictures.readers.blocks import MOST, Blocks

BOXES = 10_000
ITEMS = 10_000


@dataclass(slots=True)
class Cursor:
    """A place in bytes; what lies beyond their end reads as zeros."""

    data: bytes
    place: int = 0

    def number(self, nbytes: int) -> int:
        """The next big-endian number."""
        self.place += nbytes
        return int.from_bytes(self.data[self.place - nbytes : self.place], "big")


def avif_blocks(source: Source) -> Blocks:
    """Size and EXIF, by the tables of the file's `meta` box; what is broken is left out.

    ISO/IEC 14496-12, 8.11: `iinf` names the items, `iloc` tells where they are.
    """
    blocks = Blocks()
    meta = next((_read(source, *box) for kind, *box in _top(source) if kind == b"meta"), b"")
    inner = dict(_boxes(meta, 4))
    blocks.size = _size(meta)
    wanted = _exif_item(inner.get(b"iinf", b""))
    for item, place, length in _places(inner.get(b"iloc", b"")):
        if item == wanted and 4 < length <= MOST and place + length <= source.size:
            raw = source.read(place, length)
            blocks.exif = raw[4 + int.from_bytes(raw[:4], "big") :]
    return blocks


def _top(source: Source) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and length of the boxes of a file."""
    place = 0
    for _ in range(BOXES):
        if place + 16 > source.size:
            return
        head = source.read(place, 16)
        length, start = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, start = int.from_bytes(head[8:], "big"), 16
        length = length or source.size - place
        if length < start or place + length > source.size:
            return
        yield head[4:8], place + start, length - start
        place += length


def _read(source: Source, place: int, length: int) -> bytes:
    return source.read(place, min(length, MOST))


def _boxes(data: bytes, place: int) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the boxes inside another one."""
    for _ in range(BOXES):
        length = int.from_bytes(data[place : place + 4], "big")
        if length < 8 or place + length > len(data):
            return
        yield data[place + 4 : place + 8], data[place + 8 : place + length]
        place += length


def _size(meta: bytes) -> tuple[int, int]:
    place = meta.find(b"ispe")
    if place < 0:
        return 0, 0
    cursor = Cursor(meta, place + 8)
    return cursor.number(4), cursor.number(4)


def _exif_item(iinf: bytes) -> int:
    """The number of the item of kind `Exif`; -1 for none."""
    start = 6 if iinf[:1] == b"\0" else 8
    for kind, entry in _boxes(iinf, start):
        wide = entry[:1] == b"\3"
        cursor = Cursor(entry, 4)
        item = cursor.number(4 if wide else 2)
        if kind == b"infe" and entry[cursor.place + 2 : cursor.place + 6] == b"Exif":
            return item
    return -1


def _places(iloc: bytes) -> Iterator[tuple[int, int, int]]:
    """Item, place in the file and length, of items that lie in the file in one piece."""
    cursor = Cursor(iloc)
    version = cursor.number(4) >> 24
    sizes = cursor.number(2)
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version > 1 else 2
    for _ in range(min(cursor.number(wide), ITEMS)):
        item = cursor.number(wide)
        method = cursor.number(2) & 15 if version else 0
        cursor.number(2)
        start = cursor.number(base)
        extents = cursor.number(2)
        for _ in range(min(extents, ITEMS)):
            cursor.number(index if version else 0)
            place = start + cursor.number(offset)
            nbytes = cursor.number(length)
            if extents == 1 and method == 0:
                yield item, place, nbytes
