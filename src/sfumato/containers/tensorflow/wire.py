"""Protocol buffer messages and varints, read without trusting a single length."""

from __future__ import annotations

from collections.abc import Iterator

from sfumato.containers.tensor import Buffer

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

FIELDS = 1_000_000
"""fields of one message"""

Field = tuple[int, int | bytes]
"""number and value: bytes for what has a length, an unsigned integer for the rest"""


class WireError(ValueError):
    """Not a message; the text is one clause."""


def varint(data: Buffer, offset: int) -> tuple[int, int]:
    """An unsigned integer of 64 bits at `offset`, and where it ends."""
    value = 0
    for place in range(10):
        if offset + place >= len(data):
            raise WireError(f"ends inside a number at byte {offset}")
        byte = data[offset + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if value >> 64:
                break
            return value, offset + place + 1
    raise WireError(f"a number at byte {offset} has more than 64 bits")


def fields(data: bytes) -> Iterator[Field]:
    """The fields of a message in order."""
    offset = 0
    for _ in range(FIELDS):
        if offset == len(data):
            return
        tag, offset = varint(data, offset)
        number, sort = tag >> 3, tag & 7
        if number == 0:
            raise WireError(f"field number 0 at byte {offset}")
        if sort == VARINT:
            value, offset = varint(data, offset)
            yield number, value
        else:
            size, offset = _size(data, offset, sort)
            part = data[offset : offset + size]
            yield number, part if sort == BYTES else int.from_bytes(part, "little")
            offset += size
    raise WireError(f"more than {FIELDS} fields")


def _size(data: bytes, offset: int, sort: int) -> tuple[int, int]:
    """How many bytes a value has, and where they begin."""
    if sort == BYTES:
        size, offset = varint(data, offset)
    elif sort in (FIXED32, FIXED64):
        size = 4 if sort == FIXED32 else 8
    else:
        raise WireError(f"wire type {sort} at byte {offset} does not exist")
    if size > len(data) - offset:
        raise WireError(f"{size} bytes wanted at byte {offset} of {len(data)}")
    return size, offset


def signed(value: int) -> int:
    """An int64 that was written as an unsigned number."""
    return value - (1 << 64) if value >> 63 else value


def packed(data: bytes) -> Iterator[int]:
    """Unsigned integers written one after another."""
    offset = 0
    while offset < len(data):
        value, offset = varint(data, offset)
        yield value
