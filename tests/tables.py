"""TensorFlow checkpoints written by hand: tables, the messages in them, and shards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfumato.containers.tensorflow.crc import crc32c, masked
from sfumato.containers.tensorflow.messages import Extent, Slice, slice_key

MAGIC = bytes.fromhex("57fb808b247547db")
Array = NDArray[np.generic]
CODES = {"f4": 1, "f8": 2, "i4": 3, "u1": 4, "i2": 5, "i1": 6, "i8": 9, "b1": 10, "f2": 19}


def varint(value: int) -> bytes:
    out = bytearray()
    value %= 1 << 64
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def shape_message(shape: tuple[int, ...]) -> bytes:
    return b"".join(message(2, number(1, size)) for size in shape)


def slice_message(part: Slice) -> bytes:
    """A slice; whole dimensions are empty extents."""
    extents = (b"" if e.length < 0 else number(1, e.start) + number(2, e.length) for e in part)
    return b"".join(message(1, extent) for extent in extents)


def block(entries: Mapping[bytes, bytes], restart: int = 3) -> bytes:
    """Entries whose keys share their beginnings, as LevelDB writes them."""
    out, points, last = bytearray(), list[int](), b""
    for position, (key, value) in enumerate(sorted(entries.items())):
        shared = 0
        if position % restart == 0:
            points.append(len(out))
        else:
            while shared < min(len(last), len(key)) and last[shared] == key[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        out += key[shared:] + value
        last = key
    for point in points or [0]:
        out += point.to_bytes(4, "little")
    return bytes(out) + max(1, len(points)).to_bytes(4, "little")


def trailer(data: bytes, sort: int = 0) -> bytes:
    crc = masked(crc32c(data + bytes([sort])))
    return bytes([sort]) + crc.to_bytes(4, "little")


def table(entries: Mapping[bytes, bytes], *, per_block: int = 4, snappy: bool = False) -> bytes:
    """A whole table."""
    out, index = bytearray(), dict[bytes, bytes]()
    keys = sorted(entries)

    def add(data: bytes) -> bytes:
        stored = data
        if snappy:
            import cramjam

            stored = bytes(cramjam.snappy.compress_raw(data))
        place = varint(len(out)) + varint(len(stored))
        out.extend(stored + trailer(stored, int(snappy)))
        return place

    for start in range(0, len(keys), per_block):
        part = keys[start : start + per_block]
        index[part[-1]] = add(block({key: entries[key] for key in part}))
    places = add(block({})) + add(block(index))
    return bytes(out) + footer(places)


def footer(places: bytes) -> bytes:
    """The last 48 bytes: where the two last blocks are."""
    return places.ljust(40, b"\0") + MAGIC


def entry(array: Array, offset: int, shard: int = 0, *, slices: tuple[Slice, ...] = ()) -> bytes:
    """A BundleEntryProto; a divided variable has no bytes of its own."""
    out = number(1, CODES[array.dtype.str[1:]]) + message(2, shape_message(array.shape))
    if slices:
        return out + b"".join(message(7, slice_message(part)) for part in slices)
    data = array.tobytes()
    crc = masked(crc32c(data)).to_bytes(4, "little")
    return out + number(3, shard) + number(4, offset) + number(5, len(data)) + b"\x35" + crc


def write_bundle(
    prefix: Path, arrays: Mapping[str, Array], *, shards: int = 1, snappy: bool = False,
    more: Mapping[bytes, bytes] | None = None,
) -> Path:  # fmt: skip
    """A V2 checkpoint; the arrays go to the shards in turn. Gives the index."""
    entries = {b"": number(1, shards) + message(3, number(1, 1))}
    data = [bytearray() for _ in range(shards)]
    for position, (name, array) in enumerate(arrays.items()):
        shard = position % shards
        entries[name.encode()] = entry(array, len(data[shard]), shard)
        data[shard] += array.tobytes()
    for shard, raw in enumerate(data):
        beside(prefix, f".data-{shard:05d}-of-{shards:05d}").write_bytes(raw)
    index = beside(prefix, ".index")
    index.write_bytes(table(entries | dict(more or {}), snappy=snappy))
    return index


def beside(prefix: Path, ending: str) -> Path:
    return prefix.with_name(prefix.name + ending)


def version_1(arrays: Mapping[str, Array], values: Mapping[str, bytes] | None = None) -> bytes:
    """A V1 checkpoint; `values` replaces the TensorProto of some."""
    listing, entries = b"", dict[bytes, bytes]()
    for name, array in arrays.items():
        whole = tuple(Extent() for _ in array.shape)
        code = CODES[array.dtype.str[1:]]
        listing += message(
            1,
            message(1, name.encode()) + message(2, shape_message(array.shape)) + number(3, code)
            + message(4, slice_message(whole)),
        )  # fmt: skip
        proto = (values or {}).get(name, message(4, array.tobytes()))
        saved = message(1, name.encode()) + message(2, slice_message(whole)) + message(3, proto)
        entries[slice_key(name, whole)] = message(2, saved)
    return table({b"": message(1, listing)} | entries, per_block=2)
