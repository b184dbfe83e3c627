"""Block quantisation undone: ggml's packed blocks as float32 numbers (after ggml-quants.c)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sfumato.containers.gguf.encodings import Encoding
from sfumato.containers.tensor import Buffer

Bytes = NDArray[np.uint8]
"""packed blocks: (blocks, bytes of one part)"""

Floats = NDArray[np.float32]

# In the formulas: d is a block's scale, m its minimum, q the small integers.


def decode(buffer: Buffer, encoding: Encoding) -> Floats:
    """The numbers of whole blocks, one dimension; KeyError for a type that is not decoded."""
    blocks = np.frombuffer(buffer, np.uint8).reshape(-1, encoding.block_bytes)
    with np.errstate(invalid="ignore", over="ignore"):
        return DECODERS[encoding.name](blocks).astype("<f4", copy=False).reshape(-1)


def encode_q8_0(values: Floats) -> Bytes:
    """Q8_0 blocks of float32 numbers: eight bits each, and one scale for 32 of them.

    All numbers must be finite. Halves are rounded away from zero, as C's roundf does.
    """
    x = values.reshape(-1, 32)
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    with np.errstate(divide="ignore", over="ignore"):
        scaled = x * np.where(d == 0, np.float32(0), np.float32(1) / d)
    q = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))
    packed = np.empty((len(x), 34), np.uint8)
    packed[:, :2] = d.astype("<f2").view(np.uint8)
    packed[:, 2:] = q.astype(np.int8).view(np.uint8)
    return packed


def _half(part: Bytes) -> Floats:
    """Two bytes per block as one number: (blocks, 1)."""
    return np.ascontiguousarray(part).view("<f2").astype(np.float32)


def _nibbles(part: Bytes) -> Bytes:
    """Low halves of all bytes, then their high halves: (blocks, 2 * bytes)."""
    return np.concatenate((part & np.uint8(15), part >> np.uint8(4)), axis=1, dtype=np.uint8)


def _bits(part: Bytes) -> Bytes:
    """All bits of a part, lowest first: (blocks, 8 * bytes)."""
    return np.unpackbits(part, axis=1, bitorder="little")


def _shifted(part: Bytes, shifts: tuple[int, ...], run: int) -> Bytes:
    """Every run of bytes shifted right by each of `shifts`: (blocks, runs, shifts, run)."""
    runs = part.reshape(len(part), -1, 1, run)
    return np.right_shift(runs, np.array(shifts, np.uint8).reshape(1, 1, -1, 1), dtype=np.uint8)


def _q4_0(b: Bytes) -> Floats:
    d, q = _half(b[:, :2]), _nibbles(b[:, 2:])
    return d * (q.astype(np.float32) - 8)


def _q4_1(b: Bytes) -> Floats:
    d, m, q = _half(b[:, :2]), _half(b[:, 2:4]), _nibbles(b[:, 4:])
    return d * q.astype(np.float32) + m


def _q5_0(b: Bytes) -> Floats:
    d, q = _half(b[:, :2]), _nibbles(b[:, 6:]) | _bits(b[:, 2:6]) << 4
    return d * (q.astype(np.float32) - 16)


def _q5_1(b: Bytes) -> Floats:
    d, m, q = _half(b[:, :2]), _half(b[:, 2:4]), _nibbles(b[:, 8:]) | _bits(b[:, 4:8]) << 4
    return d * q.astype(np.float32) + m


def _q8_0(b: Bytes) -> Floats:
    return _half(b[:, :2]) * b[:, 2:].view(np.int8).astype(np.float32)


def _q8_k(b: Bytes) -> Floats:
    d = np.ascontiguousarray(b[:, :4]).view("<f4")
    return d * b[:, 4:260].view(np.int8).astype(np.float32)


def _grouped(scale: Floats, q: NDArray[np.generic]) -> Floats:
    """Each group of integers times its own scale: (blocks, groups, 256 / groups)."""
    groups = q.reshape(*scale.shape, -1).astype(np.float32)
    return scale[:, :, np.newaxis] * groups


def _shifted_down(values: Floats, m: Floats) -> Floats:
    """Each group less its own minimum."""
    return np.subtract(values, m[:, :, np.newaxis], dtype=np.float32)


def _q2_k(b: Bytes) -> Floats:
    scales, d, dmin = b[:, :16], _half(b[:, 80:82]), _half(b[:, 82:84])
    q = _shifted(b[:, 16:80], (0, 2, 4, 6), 32) & 3
    scale = d * (scales & 15).astype(np.float32)
    m = dmin * (scales >> 4).astype(np.float32)
    return _shifted_down(_grouped(scale, q), m)


def _q3_k(b: Bytes) -> Floats:
    mask, packed, d = b[:, :32], b[:, 96:108], _half(b[:, 108:110])
    low = _nibbles(packed[:, :8])
    high = _shifted(packed[:, 8:], (0, 2, 4, 6), 4).reshape(len(b), 16) & 3
    scale = d * ((low | high << 4).astype(np.float32) - 32)
    q = (_shifted(b[:, 32:96], (0, 2, 4, 6), 32) & 3).reshape(len(b), 8, 32).astype(np.int8)
    absent = ~_shifted(mask, (0, 1, 2, 3, 4, 5, 6, 7), 32).reshape(len(b), 8, 32) & 1
    return _grouped(scale, q - (absent << 2).astype(np.int8))


def _scales_and_minima(packed: Bytes) -> tuple[Floats, Floats]:
    """Eight scales and eight minima of six bits from twelve bytes: (blocks, 8) each."""
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scale = np.concatenate((first & 63, third & 15 | (first >> 6) << 4), axis=1)
    m = np.concatenate((second & 63, third >> 4 | (second >> 6) << 4), axis=1)
    return scale.astype(np.float32), m.astype(np.float32)


def _q4_k(b: Bytes) -> Floats:
    d, dmin = _half(b[:, :2]), _half(b[:, 2:4])
    scale, m = _scales_and_minima(b[:, 4:16])
    q = _shifted(b[:, 16:], (0, 4), 32) & 15
    return _shifted_down(_grouped(d * scale, q), dmin * m)


def _q5_k(b: Bytes) -> Floats:
    d, dmin = _half(b[:, :2]), _half(b[:, 2:4])
    scale, m = _scales_and_minima(b[:, 4:16])
    low = (_shifted(b[:, 48:], (0, 4), 32) & 15).reshape(len(b), 8, 32)
    high = _shifted(b[:, 16:48], (0, 1, 2, 3, 4, 5, 6, 7), 32).reshape(len(b), 8, 32) & 1
    return _shifted_down(_grouped(d * scale, low | high << 4), dmin * m)


def _q6_k(b: Bytes) -> Floats:
    scales, d = b[:, 192:208].view(np.int8).astype(np.float32), _half(b[:, 208:210])
    low = (_shifted(b[:, :128], (0, 4), 64) & 15).reshape(len(b), 256)
    high = (_shifted(b[:, 128:192], (0, 2, 4, 6), 32) & 3).reshape(len(b), 256)
    return _grouped(d * scales, (low | high << 4).astype(np.int8) - 32)


DECODERS: dict[str, Callable[[Bytes], Floats]] = {
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
    "Q8_K": _q8_k,
}
"""name of the encoding → its formula"""
