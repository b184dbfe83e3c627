"""A sorted table of LevelDB's make: keys and values in blocks, and a last block that finds them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from sfumato.containers.source import Source
from sfumato.containers.tensorflow.crc import crc32c, masked
from sfumato.containers.tensorflow.snappy import decompress
from sfumato.containers.tensorflow.wire import WireError, varint
from sfumato.errors import Damaged

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
FOOTER = 48
TRAILER = 5
"""bytes after each block: how it is compressed, and its checksum"""

PLAIN, SNAPPY = 0, 1

INFLATED = 2 << 20
"""bytes one compressed block may hold; TensorFlow cuts blocks at a quarter of a megabyte"""

CHECKED = 1 << 20
"""bytes of blocks whose checksums are compared; beyond them are tensors, and much time"""

KEY = 1 << 17
"""bytes of one key: a name, escaped, with the place of a slice"""

KEYS = 64 << 20
"""bytes of all keys: each may share all but a few with the one before it"""

Place = tuple[int, int]
"""offset and size of a block, without its trailer"""


class Table:
    """An open table: its index is in memory, its blocks are fetched when they are asked for."""

    def __init__(self, source: Source) -> None:
        """Read the index; raises Damaged where there is none."""
        self.source = source
        if not has_table(source):
            raise Damaged(source.path, "does not end with the mark of a TensorFlow table")
        footer = source.read(source.size - FOOTER, FOOTER)
        try:
            _, offset = _place(footer, 0)
            index, _ = _place(footer, offset)
        except WireError as error:
            raise self.damaged(f"the footer {error}") from error
        self.last_keys: list[bytes] = []
        """no key in a block comes after its last key"""
        self._places: list[Place] = []
        self._unchecked = CHECKED
        end = 0
        for key, value in self._block(index):
            offset, size = self._checked_place(value)
            if offset < end or (self.last_keys and key <= self.last_keys[-1]):
                raise self.damaged("the index is not in order")
            self.last_keys.append(key)
            self._places.append((offset, size))
            end = offset + size + TRAILER

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key and value, in order."""
        total, last = 0, None
        for place in self._places:
            for key, value in self._block(place):
                if last is not None and key <= last:
                    raise self.damaged(f"the key {key[:60]!a} is not after the one before it")
                total, last = total + len(key), key
                if total > KEYS:
                    raise self.damaged(f"more than {KEYS} bytes of keys")
                yield key, value

    def get(self, key: bytes) -> bytes | None:
        """The value of one key; only the block that may hold it is fetched."""
        number = bisect_left(self.last_keys, key)
        if number == len(self._places):
            return None
        return dict(self._block(self._places[number])).get(key)

    def damaged(self, reason: str) -> Damaged:
        """The error of this table."""
        return Damaged(self.source.path, f"TensorFlow table: {reason}")

    def _checked_place(self, value: bytes) -> Place:
        try:
            return _place(value, 0)[0]
        except WireError as error:
            raise self.damaged(f"an entry of the index {error}") from error

    def _block(self, place: Place) -> Iterator[tuple[bytes, bytes]]:
        try:
            yield from _entries(self._contents(place))
        except WireError as error:
            raise self.damaged(f"in the block at {place[0]}, {error}") from error

    def _contents(self, place: Place) -> bytes:
        offset, size = place
        if offset + size + TRAILER > self.source.size - FOOTER:
            raise self.damaged(f"a block of {size} bytes at {offset} reaches past the end")
        raw = self.source.read(offset, size + TRAILER)
        data, sort = raw[:size], raw[size]
        stored = int.from_bytes(raw[size + 1 :], "little")
        if size <= self._unchecked:
            self._unchecked -= size
            if masked(crc32c(raw[: size + 1])) != stored:
                raise self.damaged(f"the checksum of the block at {offset} does not match")
        if sort == SNAPPY:
            return decompress(data, INFLATED)
        if sort != PLAIN:
            raise self.damaged(f"the block at {offset} has compression {sort}; 0 and 1 are known")
        return data


def has_table(source: Source) -> bool:
    """True for a file that ends as tables do."""
    return source.size >= FOOTER and source.read(source.size - 8, 8) == MAGIC


def _place(data: bytes, offset: int) -> tuple[Place, int]:
    begin, offset = varint(data, offset)
    size, offset = varint(data, offset)
    return (begin, size), offset


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys share their beginnings with the key before; restart points are not needed to read."""
    if len(block) < 4:
        raise WireError("there is no room for its restart points")
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise WireError(f"{restarts} restart points do not fit into {len(block)} bytes")
    key, offset, total = b"", 0, 0
    while offset < end:
        shared, offset = varint(block, offset)
        fresh, offset = varint(block, offset)
        size, offset = varint(block, offset)
        if shared > len(key) or fresh + size > end - offset:
            raise WireError(f"an entry at byte {offset} is longer than the block")
        total += shared + fresh
        if shared + fresh > KEY or total > KEYS:
            raise WireError(f"there are keys of more than {KEY} bytes, or {KEYS} bytes of keys")
        key = key[:shared] + block[offset : offset + fresh]
        offset += fresh
        yield key, block[offset : offset + size]
        offset += size
