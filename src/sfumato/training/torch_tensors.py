"""Torch's tensors and the containers' tensors: the same bytes seen from either side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch

from sfumato.containers.dtype import BF16, DTYPES
from sfumato.containers.tensor import CHUNK, Buffer, Tensor

_TYPES: dict[torch.dtype, str] = {
    torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_NAMES = {name: dtype for dtype, name in _TYPES.items()}


def from_torch(value: torch.Tensor) -> Tensor:
    """`value` as a tensor that containers can write; its bytes are read when it is written."""
    dtype = DTYPES[_TYPES[value.dtype]]
    shape = tuple(value.shape)

    def read() -> Buffer:
        flat = value.detach().contiguous().cpu().reshape(-1)
        flat = flat.view(torch.int16) if dtype is BF16 else flat
        # numpy's arrays are buffers, which its stubs say only from Python 3.12 on.
        return memoryview(cast(bytes, flat.numpy())).cast("B") if flat.numel() else b""

    def pieces() -> list[Buffer]:
        data = memoryview(read())
        return [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)]

    return Tensor(dtype, shape, read, lambda: iter(pieces()))


def to_torch(tensor: Tensor) -> torch.Tensor:
    """A copy of a file's tensor, on the CPU, in its own dtype."""
    data = bytearray(tensor.read())
    dtype = _NAMES[tensor.dtype.name]
    if not data:
        return torch.zeros(tensor.shape, dtype=dtype)
    return torch.frombuffer(data, dtype=dtype).reshape(tensor.shape)


def all_from_torch(values: Mapping[str, torch.Tensor]) -> dict[str, Tensor]:
    """Every value of a mapping, as containers write it."""
    return {name: from_torch(value) for name, value in values.items()}


def frozen_copy(values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies that later steps do not move."""
    return {name: value.detach().clone() for name, value in values.items()}
