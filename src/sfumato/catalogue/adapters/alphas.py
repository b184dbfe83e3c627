"""The alphas that a LoRA stores as scalars, which only reading tells."""

from __future__ import annotations

import struct

from sfumato.containers.dtype import BF16, DType
from sfumato.containers.tensor import Tensor, Tensors

FORMATS: dict[str, str] = {
    "F64": "<d", "F32": "<f", "F16": "<e",
    "I64": "<q", "I32": "<i", "I16": "<h", "I8": "<b", "U8": "<B",
}  # fmt: skip
"""dtype → how struct reads one such number"""


def read_alphas(model: Tensors) -> tuple[float, ...]:
    """The distinct alphas of a LoRA, ascending; reads one number per module."""
    found = set[float]()
    for key, tensor in model.items():
        if key.endswith(".alpha"):  # the end of every suffix in that slot
            value = _scalar(tensor)
            if value is not None:
                found.add(value)
    return tuple(sorted(found))


def _scalar(tensor: Tensor) -> float | None:
    """The one finite number of a tensor; None where it holds more, or none."""
    if tensor.size != 1 or not _readable(tensor.dtype):
        return None
    raw = bytes(tensor.read())
    if tensor.dtype is BF16:  # the upper half of a float32
        (value,) = struct.unpack("<f", b"\0\0" + raw)
    else:
        (value,) = struct.unpack(FORMATS[tensor.dtype.name], raw)
    return float(value) if value == value and abs(value) != float("inf") else None


def _readable(dtype: DType) -> bool:
    return dtype is BF16 or dtype.name in FORMATS
