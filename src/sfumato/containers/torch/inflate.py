"""A zip member packed with deflate, unpacked as it is read and never further than it claims."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from sfumato.containers.tensor import CHUNK
from sfumato.containers.torch.readable import Readable, Span
from sfumato.errors import Damaged

STEP = 1 << 20
"""packed bytes taken at a time"""


@dataclass(frozen=True, slots=True)
class Inflated:
    """The unpacked bytes of a member; each read starts again from its beginning."""

    source: Readable
    start: int
    packed: int
    size: int
    seekable: ClassVar[bool] = False

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`."""
        return b"".join(self.chunks(offset, size))

    def chunks(self, offset: int, size: int) -> Iterator[bytes]:
        """The same bytes in pieces of CHUNK, but for the last.

        Whether the member unpacks to its size is known only where its last byte is read.
        """
        if offset < 0 or size < 0 or offset + size > self.size:
            raise Damaged(
                self.source.path,
                f"{size} bytes wanted at offset {offset} of a member of {self.size} bytes",
            )
        pending = bytearray()
        skip, left = offset, size
        for piece in self._unpacked():
            if len(pending) == left and offset + size < self.size:
                break
            part = memoryview(piece)[skip : skip + left - len(pending)]
            skip = max(0, skip - len(piece))
            pending += part
            while len(pending) >= CHUNK:
                yield bytes(pending[:CHUNK])
                del pending[:CHUNK]
                left -= CHUNK
        if pending:
            yield bytes(pending)

    def _unpacked(self) -> Iterator[bytes]:
        """Every byte, in pieces of any size; raises Damaged where they are not `size` bytes."""
        engine = zlib.decompressobj(-zlib.MAX_WBITS)
        packed = Span(self.source, self.start, self.packed)
        made = 0
        try:
            for at in range(0, self.packed, STEP):
                waiting = packed.read(at, min(STEP, self.packed - at))
                while waiting and not engine.eof and made <= self.size:
                    piece = engine.decompress(waiting, STEP)
                    waiting = engine.unconsumed_tail
                    made += len(piece)
                    yield piece
            piece = engine.flush()
            made += len(piece)
            yield piece
        except zlib.error as error:
            raise Damaged(self.source.path, f"a packed zip member is broken: {error}") from error
        if made != self.size or not engine.eof or engine.unused_data:
            raise Damaged(
                self.source.path, f"a packed zip member does not unpack to its {self.size} bytes"
            )
