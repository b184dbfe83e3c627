"""The bytes of a tensor that sees a storage through an offset, strides or foreign byte order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from operator import mul

from sfumato.containers.dtype import DType
from sfumato.containers.tensor import CHUNK, Origin, Tensor
from sfumato.containers.torch.readable import Region

WIDEST = 4 * CHUNK
"""bytes of storage that may be held for one piece of a view; beyond, the view is read whole"""


def contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """True where the elements follow each other in C order; sizes of one have free strides."""
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size == 0:
            return True
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def extent(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Elements of the storage from the first to the last that the view touches."""
    if 0 in shape:
        return 0
    return 1 + sum(map(mul, shape, strides)) - sum(strides)


def c_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of an array whose last index runs fastest."""
    return fortran_strides(shape[::-1])[::-1]


def fortran_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of an array whose first index runs fastest."""
    strides: list[int] = []
    step = 1
    for size in shape:
        strides.append(step)
        step *= size
    return tuple(strides)


@dataclass(frozen=True, slots=True)
class View:
    """Part of a region, seen as an array; reading it gives little-endian bytes in C order."""

    region: Region
    start: int
    """first byte in the region"""
    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """in elements, none negative"""
    swapped: bool = False
    """True where the region holds big-endian numbers"""

    @property
    def item(self) -> int:
        """Bytes of one element."""
        return self.dtype.bits // 8

    def read(self) -> bytes:
        """The whole view."""
        if contiguous(self.shape, self.strides):
            return self._ordered(self.region.read(self.start, self.dtype.nbytes(self.shape)))
        return self._gathered(0, self.shape[0])

    def pieces(self) -> Iterator[bytes | memoryview]:
        """The same bytes, at most CHUNK at a time and never part of an element."""
        if contiguous(self.shape, self.strides):
            for piece in self.region.chunks(self.start, self.dtype.nbytes(self.shape)):
                yield self._ordered(piece)
            return
        rows = self._rows_at_a_time()
        for first in range(0, self.shape[0], rows):
            part = memoryview(self._gathered(first, min(rows, self.shape[0] - first)))
            for at in range(0, len(part), CHUNK):
                yield part[at : at + CHUNK]

    def _rows_at_a_time(self) -> int:
        """Slices of the first dimension that keep what is held small, where slicing does that."""
        inner = extent(self.shape[1:], self.strides[1:]) * self.item
        row = self.dtype.nbytes(self.shape[1:])
        step = max(row, self.strides[0] * self.item, 1)
        rows = max(1, (CHUNK - inner) // step)
        held = (rows - 1) * self.strides[0] * self.item + inner
        overlapping = self.strides[0] * self.item < inner and self.strides[0] != 0
        if held > WIDEST or (overlapping and rows < self.shape[0]) or not self.region.seekable:
            return self.shape[0]
        return rows

    def _gathered(self, first: int, rows: int) -> bytes:
        """Some slices of the first dimension, copied into C order."""
        import numpy as np

        shape = (rows, *self.shape[1:])
        item = self.item
        start = self.start + first * self.strides[0] * item
        held = self.region.read(start, extent(shape, self.strides) * item)
        steps = tuple(stride * item for stride in self.strides)
        numbers = np.frombuffer(held, f"V{item}")
        view = np.lib.stride_tricks.as_strided(numbers, shape, steps, writeable=False)
        return self._ordered(view.tobytes())

    def _ordered(self, data: bytes) -> bytes:
        """The same numbers in little-endian order."""
        unit = self.item // 2 if self.dtype.kind == "complex" else self.item
        if not self.swapped or unit == 1:
            return data
        import numpy as np

        return np.frombuffer(data, f"<u{unit}").byteswap().tobytes()


def tensor_of(view: View, origin: Origin) -> Tensor:
    """A tensor that reads a view, on the shortest way where the view is plain."""
    if origin.strides is None and not view.swapped:
        nbytes = view.dtype.nbytes(view.shape)
        read = partial(view.region.read, view.start, nbytes)
        small = nbytes <= CHUNK
        pieces = None if small else partial(view.region.chunks, view.start, nbytes)
        return Tensor(view.dtype, view.shape, read, pieces, origin)
    return Tensor(view.dtype, view.shape, view.read, view.pieces, origin)
