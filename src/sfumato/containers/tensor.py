"""A tensor that knows its dtype and shape, and how to fetch its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sfumato.containers.dtype import DType

Buffer = bytes | bytearray | memoryview
"""bytes in memory, whoever owns them"""

CHUNK = 1 << 20
"""bytes moved at a time by everything that streams"""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a tensor's stored bytes lie: two tensors with equal origins are tied."""

    storage: str
    """name of the storage inside the file: a zip member, a legacy key, an offset"""
    storage_nbytes: int
    """bytes of the whole storage, of which the tensor may be a small view"""
    offset: int = 0
    """first byte of the tensor inside the storage"""
    strides: tuple[int, ...] | None = None
    """strides in elements where the tensor is a view that is not contiguous; None otherwise"""
    encoding: str = ""
    """block quantisation the bytes are stored in, such as Q4_0; empty where stored as they are"""
    file: str = ""
    """path of the file, so that tensors of two files are never tied; empty where not filled"""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor that is not read yet."""

    dtype: DType
    """type of the elements as `read` gives them"""
    shape: tuple[int, ...]
    """sizes in torch's order; () is a scalar"""
    read: Callable[[], Buffer]
    """fetches `nbytes` bytes, little-endian, C order; never called by identification"""
    pieces: Callable[[], Iterator[Buffer]] | None = None
    """fetches the same bytes as consecutive buffers of at most CHUNK bytes and whole elements;
    None where only the whole can be fetched"""
    origin: Origin | None = None
    """where the bytes lie; None for a tensor that was computed, and where no two can share them"""

    @property
    def nbytes(self) -> int:
        """Bytes that `read` returns."""
        return self.dtype.nbytes(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    def chunks(self) -> Iterator[Buffer]:
        """The bytes of `read` in consecutive buffers: a large tensor is never held whole."""
        if self.pieces is not None:
            yield from self.pieces()
        elif self.nbytes:
            yield self.read()


Tensors = Mapping[str, Tensor]
"""a file, a folder, a merge, a pruned view: all the same type"""


def tied(a: Tensor, b: Tensor) -> bool:
    """True where both tensors are one: the same stored bytes seen in the same way."""
    return a.origin is not None and (a.origin, a.shape, a.dtype) == (b.origin, b.shape, b.dtype)
