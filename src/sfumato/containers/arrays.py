"""Tensor bytes as numpy arrays and back, with torch's rounding."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sfumato.containers import float8
from sfumato.containers.dtype import BF16, DTYPES, F32, DType
from sfumato.containers.tensor import CHUNK, Buffer, Tensor
from sfumato.errors import Unsupported, UsageError

Floats = NDArray[np.float32]

_BLOCK = 1 << 16
"""elements worked on at a time, so that intermediate arrays stay in the processor's cache"""

_NUMPY_DTYPES = {np.dtype(dtype.carrier): dtype for dtype in DTYPES.values() if dtype.native}


def array(tensor: Tensor) -> NDArray[np.generic]:
    """Read a tensor: its own type where numpy has it, float32 for BF16 and F8 (exact).

    The array cannot be written to. Raises Unsupported for types below eight bits.
    """
    buffer, dtype = tensor.read(), tensor.dtype
    flat: NDArray[np.generic] = (
        np.frombuffer(buffer, dtype.carrier) if dtype.native else to_float32(buffer, dtype)
    )
    flat.flags.writeable = False
    return flat.reshape(tensor.shape)


def to_float32(buffer: Buffer, dtype: DType) -> Floats:
    """Elements of a float type as float32, one dimension; exact for all types but F64."""
    if dtype == F32:
        return np.frombuffer(buffer, "<f4")
    if dtype == BF16:
        return (np.frombuffer(buffer, "<u2").astype("<u4") << 16).view("<f4")
    if dtype in float8.FORMATS:
        return float8.decode(np.frombuffer(buffer, np.uint8), dtype)
    _only_floats(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.frombuffer(buffer, dtype.carrier).astype("<f4")


def from_float32(values: NDArray[np.floating], dtype: DType) -> Buffer:
    """Bytes of `values` in a float type: nearest, ties to even.

    What is too large becomes infinite as in torch; in types without infinities it becomes NaN,
    but the largest value in F8_E4M3 (torch gave NaN there before it saturated).
    """
    flat = np.ascontiguousarray(values, "<f4").reshape(-1)
    if dtype == F32:
        return flat.view(np.uint8).data
    if dtype == BF16:
        return _bfloat16(flat).view(np.uint8).data
    if dtype in float8.FORMATS:
        return float8.encode(flat, dtype).data
    _only_floats(dtype)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return flat.astype(dtype.carrier).view(np.uint8).data


def cast_chunk(buffer: Buffer, source: DType, target: DType) -> Buffer:
    """Whole elements of one float type as another; like torch, by way of float32."""
    if source == target:
        return buffer
    return from_float32(to_float32(buffer, source), target)


def tensor_from(values: NDArray[np.generic], dtype: DType | None = None) -> Tensor:
    """A tensor of an array's values, in the array's own type or cast to a float type.

    The tensor keeps the array, which must not be changed afterwards. An array of a type's raw
    bits (uint16 for BF16, uint8 for F8) is taken as these bits.
    """
    own = _NUMPY_DTYPES.get(values.dtype.newbyteorder("<"))
    if own is None:
        raise UsageError(f"a tensor cannot be made of numpy {values.dtype}")
    dtype = dtype or own
    plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    raw: Buffer = plain.reshape(-1).view(np.uint8).data
    if dtype != own and not (plain.dtype == np.dtype(dtype.carrier) and not dtype.native):
        raw = cast_chunk(raw, own, dtype)
    data = memoryview(raw).toreadonly()
    return Tensor(dtype, values.shape, lambda: data, partial(_cut, data))


def _cut(data: memoryview) -> Iterator[memoryview]:
    for start in range(0, data.nbytes, CHUNK):
        yield data[start : start + CHUNK]


def _bfloat16(values: Floats) -> NDArray[np.uint16]:
    """Round half to even by adding just under half of the last kept bit; NaN stays NaN."""
    bits = values.view("<u4")
    result = np.empty(bits.shape, "<u2")
    scratch = np.empty(min(_BLOCK, bits.size), "<u4")
    for start in range(0, bits.size, _BLOCK):
        block = bits[start : start + _BLOCK]
        work = scratch[: block.size]
        np.right_shift(block, 16, out=work)
        np.bitwise_and(work, 1, out=work)
        np.add(work, 0x7FFF, out=work)
        np.add(work, block, out=work)
        np.right_shift(work, 16, out=work)
        result[start : start + _BLOCK] = work
        nans = np.isnan(values[start : start + _BLOCK])
        if nans.any():
            quiet = (block[nans] >> 16) | 0x40
            result[start : start + _BLOCK][nans] = quiet
    return result


def _only_floats(dtype: DType) -> None:
    if dtype.bits < 8:
        raise Unsupported(
            f"tensor of type {dtype}", "elements smaller than a byte are not read as numbers"
        )
    if dtype.kind != "float":
        raise UsageError(f"{dtype} is not a float type, and only floats are cast")
