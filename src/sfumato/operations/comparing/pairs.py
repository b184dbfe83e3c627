"""Two tensors side by side: identical, equal in value, a cast of one another, or how far apart."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sfumato.catalogue.numbers.measure import measurable
from sfumato.catalogue.numbers.streams import floats, side_by_side
from sfumato.containers.arrays import Floats, array, from_float32, to_float32
from sfumato.containers.dtype import BF16, F16, F32, F64, DType
from sfumato.containers.tensor import Tensor

Sort = Literal["identical", "equal", "cast", "rounded", "changed", "reshaped", "unread"]
"""identical: the same bytes in the same type · equal: the same numbers in another type · cast: one
is the other rounded to its type · rounded: both can be roundings of the same numbers · changed ·
reshaped: the shapes differ · unread: bytes differ, and their type is not read as numbers"""

PRECISION: tuple[tuple[DType, float], ...] = ((F64, 2.0**-53), (F32, 2.0**-24), (F16, 2.0**-11),
                                              (BF16, 2.0**-8))  # fmt: skip
"""float types and the largest relative error of rounding to them; others are taken as F8"""

COARSE = 2.0**-3
"""the same for the eight-bit floats"""

SUBNORMAL = 2.0**-24
"""the step between the smallest numbers of F16"""


@dataclass(frozen=True, slots=True)
class Pair:
    """What laying two tensors of one name side by side showed."""

    name: str
    sort: Sort
    size: int = 0
    """numbers in the first"""
    apart: float = 0.0
    """sum of the squared differences"""
    norm: float = 0.0
    """sum of the squares of the first"""
    largest: float = 0.0
    """largest difference of two numbers that are both finite"""
    changed: int = 0
    """numbers that differ in value"""
    odd: int = 0
    """numbers that are NaN or infinite in one of the two and not the same in the other"""
    detail: str = ""
    """one clause for what could not be compared"""

    @property
    def same(self) -> bool:
        """True where nothing but the types can be told apart."""
        return self.sort in ("identical", "equal", "cast", "rounded")

    @property
    def distance(self) -> float:
        """L2 norm of the difference over the L2 norm of the first."""
        return ratio(self.apart, self.norm)


def ratio(apart: float, norm: float) -> float:
    """The root of a quotient of sums of squares; 1 where the divisor alone is zero or no number."""
    return sqrt(apart / norm) if 0 < norm < inf and apart < inf else float(apart > 0)


def rounding(dtype: DType) -> float:
    """The largest relative error of rounding a number to a float type."""
    return next((error for known, error in PRECISION if known == dtype), COARSE)


def compare(name: str, first: Tensor, second: Tensor) -> Pair:
    """Lay two tensors of one name side by side; they are read in pieces.

    Shapes that differ only in sizes of 1 at the end are the same: a 1×1 convolution is a linear
    layer. Raises what reading raises.
    """
    if _plain(first.shape) != _plain(second.shape):
        return Pair(name, "reshaped", first.size, detail=_shapes(first, second))
    if measurable(first.dtype) and measurable(second.dtype):
        floating = {first.dtype.kind, second.dtype.kind} == {"float"}
        if floating and F64 not in (first.dtype, second.dtype):
            return _floating(name, first, second)
    return _exact(name, first, second)


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    while shape[-1:] == (1,):
        shape = shape[:-1]
    return shape


def _shapes(first: Tensor, second: Tensor) -> str:
    return f"{list(first.shape)} and {list(second.shape)}"


@dataclass(slots=True)
class _Sums:
    apart: float = 0.0
    norm: float = 0.0
    largest: float = 0.0
    changed: int = 0
    odd: int = 0
    bits: bool = True
    """every number has the same bits in both"""
    cast: bool = True
    rounded: bool = True


def _floating(name: str, first: Tensor, second: Tensor) -> Pair:
    sums = _Sums()
    types = first.dtype, second.dtype
    narrow = max(types, key=rounding) if first.dtype != second.dtype else None
    slack = rounding(first.dtype) + rounding(second.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for a, b in side_by_side(floats(first), floats(second)):
            _add(a, b, sums)
            if sums.cast and narrow is not None:
                sums.cast = _is_cast(a, b, narrow)
            if sums.rounded and narrow is not None:
                sums.rounded = _is_rounded(a, b, slack)
    return Pair(
        name, _sort(sums, narrow), first.size,
        sums.apart, sums.norm, sums.largest, sums.changed, sums.odd,
    )  # fmt: skip


def _sort(sums: _Sums, narrow: DType | None) -> Sort:
    if sums.bits:
        return "identical" if narrow is None else "equal"
    if not sums.changed and not sums.odd:
        return "equal"
    if narrow is None:
        return "changed"
    return "cast" if sums.cast else "rounded" if sums.rounded else "changed"


def _add(a: Floats, b: Floats, sums: _Sums) -> None:
    """Count one block; identical blocks, the usual case, cost little."""
    sums.norm += _squares(a)
    if np.array_equal(a.view("<u4"), b.view("<u4")):
        return
    sums.bits = False
    apart = a - b
    size = float(np.dot(apart, apart))
    if not isfinite(size):
        good = np.isfinite(a) & np.isfinite(b)
        sums.odd += int(np.count_nonzero(~good & ~_alike(a, b)))
        apart = np.where(good, apart, np.float32(0))
        size = _squares(apart)
    sums.apart += size
    sums.changed += int(np.count_nonzero(apart))
    sums.largest = max(sums.largest, float(np.abs(apart).max()))


def _squares(values: Floats) -> float:
    """Sum of the squares of what is finite."""
    size = float(np.dot(values, values))
    if isfinite(size):
        return size
    wide = values[np.isfinite(values)].astype(np.float64)
    return float(np.dot(wide, wide))


def _alike(a: Floats, b: Floats) -> NDArray[np.bool_]:
    """True where two numbers are equal or both NaN."""
    return (a == b) | (np.isnan(a) & np.isnan(b))


def _is_cast(a: Floats, b: Floats, narrow: DType) -> bool:
    """True where rounding either block to the coarser type gives the same numbers."""
    wide = (to_float32(from_float32(values, narrow), narrow) for values in (a, b))
    return bool(_alike(*wide).all())


def _is_rounded(a: Floats, b: Floats, slack: float) -> bool:
    """True where both can be roundings of the same numbers."""
    room = np.maximum(np.abs(a), np.abs(b)) * np.float32(slack * 1.01) + np.float32(SUBNORMAL)
    return bool((_alike(a, b) | (np.abs(a - b) <= room)).all())


def _exact(name: str, first: Tensor, second: Tensor) -> Pair:
    """Integers, F64 and the like: by their bytes, else by their values."""
    if first.dtype == second.dtype and _bytes_equal(first, second):
        return Pair(name, "identical", first.size)
    if min(first.dtype.bits, second.dtype.bits) < 8:
        kinds = f"{first.dtype} and {second.dtype}"
        return Pair(name, "unread", first.size, detail=f"{kinds} are not read as numbers")
    a, b = array(first).reshape(-1), array(second).reshape(-1)
    differ = int(np.count_nonzero(a != b))
    if not differ:
        return Pair(name, "equal", first.size)
    sort: Sort = "cast" if np.array_equal(*_narrowed(a, b)) else "changed"
    wide = np.complex128 if "complex" in (first.dtype.kind, second.dtype.kind) else np.float64
    with np.errstate(over="ignore", invalid="ignore"):
        apart = np.abs(np.nan_to_num(a.astype(wide) - b.astype(wide)))
        norm = float(np.square(np.abs(np.nan_to_num(a.astype(wide)))).sum())
        total, largest = float(np.square(apart).sum()), float(apart.max())
    return Pair(name, sort, first.size, total, norm, largest, differ)


def _narrowed(
    a: NDArray[np.generic], b: NDArray[np.generic]
) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Two arrays of floats in the smaller type of the two; others as they are."""
    if {a.dtype.kind, b.dtype.kind} != {"f"}:
        return a, b
    narrow = min(a.dtype, b.dtype, key=lambda dtype: dtype.itemsize)
    with np.errstate(over="ignore"):
        return a.astype(narrow), b.astype(narrow)


def _bytes_equal(first: Tensor, second: Tensor) -> bool:
    views = (memoryview(tensor.read()).cast("B") for tensor in (first, second))
    return first.nbytes == second.nbytes and next(views) == next(views)
