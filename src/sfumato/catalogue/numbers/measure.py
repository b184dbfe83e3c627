"""Counts of what is odd among the numbers of one tensor, streamed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfumato.containers.arrays import to_float32
from sfumato.containers.dtype import BF16, C64, C128, F16, F32, F64, DType
from sfumato.containers.tensor import Buffer, Tensor

Bits = NDArray[np.unsignedinteger]

BLOCK = 1 << 16
"""numbers worked on at a time, so that intermediate arrays stay in the processor's cache"""


@dataclass(frozen=True, slots=True)
class Format:
    """Magnitudes of a float type as bit patterns, which are in the same order as the numbers."""

    carrier: str
    """numpy type of the raw bits"""
    infinity: int
    huge: int
    """65504, the largest number of fp16"""
    normal: int
    """2^-14, the smallest number that fp16 holds with all its digits"""
    lost: int
    """2^-25, of which fp16 makes zero"""
    numpy: str
    """a numpy float type of which the bits are the leading ones"""


FORMATS: dict[DType, Format] = {
    F16: Format("<u2", 0x7C00, 0x7BFF, 0, 0, "<f2"),
    BF16: Format("<u2", 0x7F80, 0x477F, 0x3880, 0x3300, "<f4"),
    F32: Format("<u4", 0x7F80_0000, 0x477F_E000, 0x3880_0000, 0x3300_0000, "<f4"),
    F64: Format("<u8", 0x7FF0 << 48, 0x40EF_FC00 << 32, 0x3F10 << 48, 0x3E60 << 48, "<f8"),
}
"""fp16's own small numbers are no loss, so none is counted there"""

PAIRS: dict[DType, DType] = {C64: F32, C128: F64}
"""complex types are pairs of these"""


@dataclass(slots=True)
class Measures:
    """What was counted in one tensor."""

    size: int = 0
    """numbers seen"""
    nan: int = 0
    infinite: int = 0
    huge: int = 0
    """finite, and beyond fp16's 65504"""
    small: int = 0
    """not zero, and below what fp16 holds with all its digits"""
    lost: int = 0
    """of these, what becomes zero in fp16"""
    largest: float = 0.0
    """largest finite magnitude"""
    least: int | None = None
    """smallest bit pattern"""
    most: int = 0
    """largest bit pattern"""

    @property
    def constant(self) -> bool:
        """True where there are several numbers and all are the same."""
        return self.zero or (self.size > 1 and self.least == self.most)

    @property
    def zero(self) -> bool:
        """True where there are several numbers and all are zero, of either sign."""
        return self.size > 1 and not (self.largest or self.nan or self.infinite)


def measurable(dtype: DType) -> bool:
    """True for float and complex types of eight bits and more."""
    return dtype.kind in ("float", "complex") and dtype.bits >= 8


def measure(tensor: Tensor) -> Measures:
    """Read `tensor` in pieces and count; its type must be `measurable`."""
    found = Measures()
    dtype = PAIRS.get(tensor.dtype, tensor.dtype)
    form = FORMATS.get(dtype, FORMATS[F32])
    for chunk in tensor.chunks():
        for block in _blocks(chunk, dtype, form):
            _count(block, form, found)
    return found


def _blocks(chunk: Buffer, dtype: DType, form: Format) -> Iterator[Bits]:
    if dtype in FORMATS:
        bits: Bits = np.frombuffer(chunk, form.carrier)
        for start in range(0, bits.size, BLOCK):
            yield bits[start : start + BLOCK]
        return
    raw = memoryview(chunk).cast("B")  # one byte per number: the eight-bit floats
    for start in range(0, raw.nbytes, BLOCK):
        yield to_float32(raw[start : start + BLOCK], dtype).view(form.carrier)


def _count(block: Bits, form: Format, found: Measures) -> None:
    magnitude = block & block.dtype.type(2 ** (8 * block.itemsize - 1) - 1)
    top, bottom = int(magnitude.max()), int(magnitude.min())
    found.size += block.size
    low, high = int(block.min()), int(block.max())
    found.least = low if found.least is None else min(low, found.least)
    found.most = max(high, found.most)
    if top >= form.infinity:
        found.nan += _how_many(magnitude > form.infinity)
        found.infinite += _how_many(magnitude == form.infinity)
        magnitude = magnitude[magnitude < form.infinity]
        top = int(magnitude.max()) if magnitude.size else 0
    if top > form.huge:
        found.huge += _how_many(magnitude > form.huge)
    found.largest = max(found.largest, _number(top, form))
    if bottom < form.normal:
        zeros = _how_many(magnitude == 0)
        found.small += _how_many(magnitude < form.normal) - zeros
        found.lost += _how_many(magnitude <= form.lost) - zeros


def _how_many(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _number(bits: int, form: Format) -> float:
    """The number that a magnitude stands for."""
    wide = form.numpy.replace("f", "u")
    shift = 8 * (np.dtype(wide).itemsize - np.dtype(form.carrier).itemsize)
    return float(np.array(bits << shift, wide).view(form.numpy))
