"""What a writer promises before the first byte: the size of the output, and how to write it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import BinaryIO, Protocol
from zlib import crc32

from sfumato.containers.model_file import Tree
from sfumato.containers.tensor import CHUNK, Buffer, Tensor, Tensors
from sfumato.errors import Unverified

Progress = Callable[[int], None]
"""called with the number of bytes just moved"""


class Layout(Protocol):
    """A planned output file: everything is decided, nothing is read or written yet."""

    @property
    def nbytes(self) -> int:
        """Bytes of the output, exactly or as an upper bound; the disk must have them free."""
        ...

    @property
    def digests(self) -> Mapping[str, int]:
        """CRC-32 of the bytes that reading each tensor back must give; filled by `emit`.

        A name that is missing is read back without comparing its bytes (a quantised tensor).
        """
        ...

    def emit(self, sink: BinaryIO, progress: Progress) -> None:
        """Write the whole output at the position of `sink`, which can seek."""
        ...


class Plan(Protocol):
    """A format's writer: refuses what the format cannot hold, before the first byte."""

    def __call__(
        self, tensors: Tensors, metadata: Mapping[str, str], *, tree: Tree = None
    ) -> Layout:
        """Decide where everything goes; raises Refused where something has no place."""
        ...


def silent(nbytes: int) -> None:
    """A progress that nobody watches."""


def stream(name: str, tensor: Tensor, sink: BinaryIO, progress: Progress = silent) -> int:
    """Write a tensor piece by piece; returns the CRC-32 of its bytes.

    Raises Unverified where the tensor gives another number of bytes than its shape says.
    """
    digest, written = 0, 0
    for piece in tensor.chunks():
        digest = crc32(piece, digest)
        size = memoryview(piece).nbytes
        sink.write(piece)
        written += size
        progress(size)
    if written != tensor.nbytes:
        raise Unverified(f"{name}: gave {written} bytes where {tensor.nbytes} were expected")
    return digest


def ahead(items: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """The same tensors, the next pieces fetched by a second thread while the last are used.

    The tensors must be streamed whole, once, and in this order; names are unique.
    """
    ordered = list(items)
    flow = _fetched(_batches(ordered))
    held = next(flow, None)

    def pieces(name: str) -> Iterator[Buffer]:
        nonlocal held
        while held is not None and held[0] == name:
            piece = held[1]
            held = next(flow, None)
            yield piece

    for name, tensor in ordered:
        yield name, replace(tensor, pieces=partial(pieces, name))


def _batches(items: Iterable[tuple[str, Tensor]]) -> Iterator[list[tuple[str, Buffer]]]:
    """Small pieces together: waking a thread for each would take longer than reading it."""
    batch, size = list[tuple[str, Buffer]](), 0
    for name, tensor in items:
        for piece in tensor.chunks():
            batch.append((name, piece))
            size += memoryview(piece).nbytes
            if size >= CHUNK // 2:
                yield batch
                batch, size = [], 0
    yield batch


def _fetched(batches: Iterator[list[tuple[str, Buffer]]]) -> Iterator[tuple[str, Buffer]]:
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = reader.submit(next, batches, None)
            yield from batch
