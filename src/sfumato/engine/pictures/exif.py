"""The block of EXIF data that holds how a picture was made: a comment, and a maker's note."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAKE, MODEL, DESCRIPTION, SOFTWARE = 0x010F, 0x0110, 0x010E, 0x0131
PRIVATE, NOTE, COMMENT = 0x8769, 0x927C, 0x9286
"""the tag that leads to the second table, and two tags of that"""

ASCII, LONG, UNDEFINED = 2, 4, 7
WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
"""bytes of one value, by its type"""

PREFIX = b"Exif\0\0"
UNICODE, PLAIN = b"UNICODE\0", b"ASCII\0\0\0"
"""the first eight bytes of a comment say its encoding"""

ENTRIES = 1000
"""entries of one table that are looked at"""


def write_exif(comment: str, note: str = "", software: str = "") -> bytes:
    """A TIFF block, big-endian, with `comment` as UserComment and `note` as MakerNote.

    The comment is UTF-16, high byte first, whatever the block's own order: so A1111 writes and
    reads it, and Civitai reads it.
    """
    inner = [(COMMENT, UNDEFINED, UNICODE + comment.encode("utf-16-be", "replace"))]
    if note:
        inner.insert(0, (NOTE, UNDEFINED, note.encode("utf-8", "replace")))
    outer = [(SOFTWARE, ASCII, software.encode("ascii", "replace") + b"\0")] if software else []
    size = len(_table([*outer, (PRIVATE, LONG, bytes(4))], 8))
    head = _table([*outer, (PRIVATE, LONG, struct.pack(">I", 8 + size))], 8)
    return b"MM\0\x2a" + struct.pack(">I", 8) + head + _table(inner, 8 + size)


def _table(entries: list[tuple[int, int, bytes]], start: int) -> bytes:
    """A table of tags at `start`, followed by the values that do not fit into it."""
    rows, values = b"", b""
    after = start + 2 + 12 * len(entries) + 4
    for tag, kind, data in entries:
        short = len(data) <= 4
        place = data.ljust(4, b"\0") if short else struct.pack(">I", after + len(values))
        rows += struct.pack(">HHI", tag, kind, len(data) // WIDTHS[kind]) + place
        if not short:
            values += data + bytes(len(data) % 2)
    return struct.pack(">H", len(entries)) + rows + bytes(4) + values


@dataclass(frozen=True, slots=True)
class Exif:
    """The texts of an EXIF block, each empty where it is not there."""

    comment: str = ""
    note: str = ""
    make: str = ""
    model: str = ""
    description: str = ""
    software: str = ""


def read_exif(block: bytes) -> Exif:
    """The texts of a block, with or without its prefix; what is broken is left out."""
    data = block.removeprefix(PREFIX)
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return Exif()
    values = dict(_entries(data, order, _number(data, 4, order)))
    if PRIVATE in values and len(values[PRIVATE]) >= 4:
        values |= dict(_entries(data, order, _number(values[PRIVATE], 0, order)))
    return Exif(
        comment=decode_comment(values.get(COMMENT, b""), order),
        note=_text(values.get(NOTE, b"")),
        make=_text(values.get(MAKE, b"")),
        model=_text(values.get(MODEL, b"")),
        description=_text(values.get(DESCRIPTION, b"")),
        software=_text(values.get(SOFTWARE, b"")),
    )


def _number(data: bytes, place: int, order: str) -> int:
    return struct.unpack_from(order + "I", data, place)[0]


def _entries(data: bytes, order: str, start: int) -> Iterator[tuple[int, bytes]]:
    """Tags and the bytes of their values; an entry that points outside is passed over."""
    if start < 8 or start + 2 > len(data):
        return
    count = struct.unpack_from(order + "H", data, start)[0]
    for number in range(min(count, ENTRIES)):
        place = start + 2 + 12 * number
        if place + 12 > len(data):
            return
        tag, kind, length = struct.unpack_from(order + "HHI", data, place)
        nbytes = WIDTHS.get(kind, 1) * length
        offset = place + 8 if nbytes <= 4 else _number(data, place + 8, order)
        if offset + nbytes <= len(data):
            yield tag, data[offset : offset + nbytes]


def decode_comment(raw: bytes, order: str) -> str:
    """A UserComment as text.

    `UNICODE` says UTF-16 in no particular order: A1111 writes the high byte first, others follow
    the block's order (">" or "<"). The one with more letters of the plain alphabet is right.
    """
    head, body = raw[:8], raw[8:]
    if head == UNICODE:
        even = body[: len(body) // 2 * 2]
        # In UTF-16 of mostly Latin text the zeros are the high bytes.
        first, second = even[0::2].count(0), even[1::2].count(0)
        big = first > second or (first == second and order == ">")
        if even[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return even.decode("utf-16", "replace").rstrip("\0")
        return even.decode("utf-16-be" if big else "utf-16-le", "replace").rstrip("\0")
    if head in (PLAIN, bytes(8)):
        return _text(body)
    return _text(raw)


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("utf-8", "replace")
