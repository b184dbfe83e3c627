"""Bytes that can be read anywhere: an open file, or a torch file that lay inside a pickle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from sfumato.containers.tensor import CHUNK
from sfumato.errors import Damaged


class Readable(Protocol):
    """What a container is read from; `Source` is one."""

    @property
    def path(self) -> Path:
        """The file on disk, for messages."""
        ...

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`; raises Damaged where they are not there."""
        ...


@dataclass(frozen=True, slots=True)
class Blob:
    """A file inside a file, held in memory; `path` names the outer one."""

    path: Path
    data: bytes

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.data)

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`."""
        if offset < 0 or size < 0 or offset + size > len(self.data):
            raise Damaged(
                self.path,
                f"a file inside the pickle has {len(self.data)} bytes, but {size} are wanted at "
                f"offset {offset}",
            )
        return self.data[offset : offset + size]


class Region(Protocol):
    """The bytes of one storage or member, wherever and however they are kept."""

    seekable: ClassVar[bool]
    """False where reading from the middle costs as much as reading from the start"""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`."""
        ...

    def chunks(self, offset: int, size: int) -> Iterator[bytes]:
        """The same bytes, at most CHUNK at a time."""
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """A region that lies in its file as it is, and can be read like a file."""

    source: Readable
    start: int
    size: int
    seekable: ClassVar[bool] = True

    @property
    def path(self) -> Path:
        """The file on disk, for messages."""
        return self.source.path

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise Damaged(
                self.source.path,
                f"{size} bytes wanted at offset {offset} of a storage of {self.size} bytes",
            )
        return self.source.read(self.start + offset, size)

    def chunks(self, offset: int, size: int) -> Iterator[bytes]:
        """The same bytes, at most CHUNK at a time."""
        end = offset + size
        while offset < end:
            step = min(CHUNK, end - offset)
            yield self.read(offset, step)
            offset += step


class Window:
    """Reads of a file that mostly go forward in small steps, answered from one block."""

    def __init__(self, source: Readable, block: int = 16 << 10) -> None:
        self._source = source
        self._block = block
        self._start = 0
        self._data = b""

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`."""
        begin = offset - self._start
        if begin < 0 or begin + size > len(self._data):
            room = max(0, self._source.size - offset)
            self._data = self._source.read(offset, max(size, min(self._block, room)))
            self._start, begin = offset, 0
        return self._data[begin : begin + size]
