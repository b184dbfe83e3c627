"""The messages inside TensorFlow checkpoints: shapes, slices, entries, and their keys."""

from __future__ import annotations

from dataclasses import dataclass

from sfumato.containers.dtype import (
    BF16,
    BOOL,
    C64,
    C128,
    F8_E4M3,
    F8_E5M2,
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    DType,
)
from sfumato.containers.tensorflow.wire import WireError, fields, signed

DTYPES: dict[int, DType] = {
    1: F32, 2: F64, 3: I32, 4: U8, 5: I16, 6: I8, 8: C64, 9: I64, 10: BOOL, 14: BF16,
    17: U16, 18: C128, 19: F16, 22: U32, 23: U64, 24: F8_E5M2, 25: F8_E4M3,
}  # fmt: skip
"""TensorFlow's number of an element type that is read"""

OTHER_TYPES: dict[int, str] = {
    7: "text", 11: "qint8", 12: "quint8", 13: "qint32", 15: "qint16", 16: "quint16",
    20: "resource", 21: "variant",
}  # fmt: skip
"""types that are listed, not read"""

RANK = 254
"""dimensions a shape of TensorFlow may have"""


@dataclass(frozen=True, slots=True)
class Extent:
    """A slice along one dimension."""

    start: int = 0
    length: int = -1
    """-1 for the whole dimension"""


Slice = tuple[Extent, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a checkpoint says of one tensor, or of one slice of it."""

    dtype: int = 0
    shape: tuple[int, ...] = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    checksum: int = 0
    """masked CRC-32C of the bytes"""
    slices: tuple[Slice, ...] = ()
    """pieces of a variable that was divided; each has an entry of its own"""


def message(value: int | bytes) -> bytes:
    """The value of a field that must have a length."""
    if isinstance(value, int):
        raise WireError("a number stands where a message belongs")
    return value


def integer(value: int | bytes) -> int:
    """The value of a field that must be a number."""
    if isinstance(value, bytes):
        raise WireError("a message stands where a number belongs")
    return signed(value)


def text(value: int | bytes) -> str:
    """The value of a field that must be text."""
    try:
        return message(value).decode()
    except UnicodeDecodeError as error:
        raise WireError("a name is not UTF-8") from error


def read_entry(data: bytes) -> Entry:
    """A BundleEntryProto."""
    numbers: dict[int, int] = {}
    shape, slices = (), list[Slice]()
    for number, value in fields(data):
        if number == 2:
            shape = read_shape(message(value))
        elif number == 7:
            slices.append(read_slice(message(value)))
        elif number in (1, 3, 4, 5, 6):
            numbers[number] = integer(value)
    dtype, shard, offset, size, checksum = (numbers.get(n, 0) for n in (1, 3, 4, 5, 6))
    return Entry(dtype, shape, shard, offset, size, checksum, tuple(slices))


def read_shape(data: bytes) -> tuple[int, ...]:
    """A TensorShapeProto; raises WireError for one whose sizes are not known."""
    sizes: list[int] = []
    for number, value in fields(data):
        if number == 2:
            inner = dict(fields(message(value)))
            sizes.append(integer(inner.get(1, 0)))
        elif number == 3 and value:
            raise WireError("a tensor has an unknown shape")
    if len(sizes) > RANK or any(size < 0 for size in sizes):
        raise WireError(f"a tensor has the impossible shape {sizes[:8]}")
    return tuple(sizes)


def read_slice(data: bytes) -> Slice:
    """A TensorSliceProto."""
    extents: list[Extent] = []
    for number, value in fields(data):
        if number == 1:
            inner = dict(fields(message(value)))
            extents.append(Extent(integer(inner.get(1, 0)), integer(inner.get(2, -1 % (1 << 64)))))
    if len(extents) > RANK:
        raise WireError(f"a slice has {len(extents)} dimensions")
    return tuple(extents)


def bounds(part: Slice, shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """First element and end of a slice along each dimension; WireError where it does not fit."""
    if len(part) != len(shape):
        raise WireError(f"a slice has {len(part)} dimensions, and its tensor {len(shape)}")
    found: list[tuple[int, int]] = []
    for extent, size in zip(part, shape, strict=True):
        end = size if extent.length < 0 else extent.start + extent.length
        if not 0 <= extent.start <= end <= size:
            raise WireError(f"a slice reaches from {extent.start} to {end} of {size}")
        found.append((extent.start, end))
    return tuple(found)


def slice_key(name: str, part: Slice) -> bytes:
    """The key of a slice: a code whose order as bytes is the order of names and numbers."""
    # The code escapes the bytes 00 and FF; UTF-8 has no FF.
    escaped = name.encode().replace(b"\0", b"\0\xff")
    rank = len(part).to_bytes((len(part).bit_length() + 7) // 8, "big")
    key = b"\0" + escaped + b"\0\1" + bytes([len(rank)]) + rank
    for extent in part:
        key += ordered(extent.start) + ordered(extent.length)
    return key


def ordered(value: int) -> bytes:
    """A signed integer in as few bytes as hold it: their number is told by the leading ones.

    A code of n bytes has 7 n - 1 bits of value; negative numbers are inverted throughout.
    """
    positive = value if value >= 0 else ~value
    size = positive.bit_length() // 7 + 1
    header = ((1 << size) - 1) << 7 * size
    code = header | positive
    if value < 0:
        code ^= (1 << 8 * size) - 1
    return code.to_bytes(size, "big")
