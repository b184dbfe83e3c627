"""The eight-bit float types, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sfumato.containers.dtype import (
    F8_E4M3,
    F8_E4M3FNUZ,
    F8_E5M2,
    F8_E5M2FNUZ,
    F8_E8M0,
    DType,
)


@dataclass(frozen=True, slots=True)
class Float8:
    """One way to divide eight bits into sign, exponent and mantissa."""

    mantissa: int
    """bits of mantissa; the rest, but for the sign, is exponent"""
    bias: int
    largest: int
    """code of the largest finite value"""
    overflow: int
    """code, without sign, of what is larger than that"""
    nan: int
    """code of NaN, without sign"""
    unsigned_zero: bool = False
    """the code of minus zero is NaN, and the only one; NaN and overflow have no sign (FNUZ)"""


FORMATS: dict[DType, Float8 | None] = {
    F8_E4M3: Float8(mantissa=3, bias=7, largest=0x7E, overflow=0x7E, nan=0x7F),
    F8_E5M2: Float8(mantissa=2, bias=15, largest=0x7B, overflow=0x7C, nan=0x7F),
    F8_E4M3FNUZ: Float8(3, bias=8, largest=0x7F, overflow=0x80, nan=0x80, unsigned_zero=True),
    F8_E5M2FNUZ: Float8(2, bias=16, largest=0x7F, overflow=0x80, nan=0x80, unsigned_zero=True),
    F8_E8M0: None,
}
"""every eight-bit type; E8M0 is a bare exponent without sign, zero or mantissa"""


def decode(codes: NDArray[np.uint8], dtype: DType) -> NDArray[np.float32]:
    """Exact values of the codes."""
    return decoding(dtype)[codes]


def encode(values: NDArray[np.float32], dtype: DType) -> NDArray[np.uint8]:
    """Codes of the nearest values, ties to even."""
    # The upper half of a float32 has seven bits of mantissa, of which no type here keeps more
    # than three: for rounding it is enough to know whether anything was set below.
    bits = values.view("<u4")
    upper = (bits >> 16).astype("<u2")
    upper |= (bits & 0xFFFF) != 0
    return encoding(dtype)[upper]


@cache
def decoding(dtype: DType) -> NDArray[np.float32]:
    """The value of each of the 256 codes."""
    form = FORMATS[dtype]
    codes = np.arange(256)
    if form is None:
        values = np.ldexp(1.0, codes - 127)
        values[255] = np.nan
        return values.astype("<f4")
    fraction = codes & ((1 << form.mantissa) - 1)
    exponent = (codes & 0x7F) >> form.mantissa
    significand = np.where(exponent > 0, fraction + (1 << form.mantissa), fraction)
    power = np.maximum(exponent, 1) - form.bias - form.mantissa
    values = np.ldexp(significand.astype("<f8"), power)
    values[np.arange(256) & 0x7F > form.largest] = np.nan
    if form.largest < form.overflow < form.nan:
        values[form.overflow] = np.inf
    values[128:] = -values[:128]
    if form.unsigned_zero:
        values[0x80] = np.nan
    return values.astype("<f4")


@cache
def encoding(dtype: DType) -> NDArray[np.uint8]:
    """The code for each upper half of a float32."""
    form = FORMATS[dtype]
    upper = np.arange(1 << 16, dtype="<u4")
    if form is None:
        return _exponents(upper)
    with np.errstate(invalid="ignore"):
        values = (upper << 16).view("<f4").astype("<f8")
    finite = decoding(dtype)[: form.largest + 1].astype("<f8")
    beyond = 2 * finite[-1] - finite[-2]
    steps = np.append(finite, beyond)
    middles = (steps[1:] + steps[:-1]) / 2
    size = np.abs(np.nan_to_num(values, nan=0.0))
    below = np.searchsorted(middles, size, side="left")
    above = np.searchsorted(middles, size, side="right")
    codes = np.where(below & 1, above, below)
    codes[codes > form.largest] = form.overflow
    codes[np.isnan(values)] = form.nan
    negative = (upper >> 15).astype(bool)
    if form.unsigned_zero:
        negative &= (codes != 0) & (codes != form.nan)
    return np.where(negative, codes | 0x80, codes).astype(np.uint8)


def _exponents(upper: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """E8M0 as torch writes it: no sign, halves go up, and so does all between 2^-127 and 2^-126."""
    exponent = (upper >> 7) & 0xFF
    half, rest = (upper & 0x40) > 0, (upper & 0x3F) > 0
    raised = exponent + (half & ((exponent > 0) | rest))
    return np.where(exponent == 255, 255, raised).astype(np.uint8)
