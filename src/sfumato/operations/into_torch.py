"""Stored weights read into torch tensors that are there already, cast piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike

import numpy as np
import torch
from numpy.typing import NDArray

from sfumato.containers import dtype as types
from sfumato.containers.dtype import DType
from sfumato.containers.tensor import Tensor
from sfumato.containers.text import escape
from sfumato.errors import Damaged, Unsupported

TORCH: Mapping[DType, torch.dtype] = {
    types.F64: torch.float64,
    types.F32: torch.float32,
    types.F16: torch.float16,
    types.BF16: torch.bfloat16,
    types.F8_E4M3: torch.float8_e4m3fn,
    types.F8_E5M2: torch.float8_e5m2,
    types.F8_E4M3FNUZ: torch.float8_e4m3fnuz,
    types.F8_E5M2FNUZ: torch.float8_e5m2fnuz,
    types.I64: torch.int64,
    types.I32: torch.int32,
    types.I16: torch.int16,
    types.I8: torch.int8,
    types.U8: torch.uint8,
}
"""types of stored weights that torch converts"""

STAGING = 8 << 20
"""bytes that are cast at once: each cast of a part of a weight sets all threads going"""

Source = str | PathLike[str]


def read_into(parameter: torch.Tensor, tensor: Tensor, *, source: Source = "the model") -> None:
    """Overwrite a parameter with a file's tensor, with the cast that loading makes: bit for bit.

    Raises Damaged for another shape, Unsupported for element types that torch cannot convert.
    """
    if tuple(parameter.shape) != tensor.shape:
        raise Damaged(source, f"a tensor is {list(tensor.shape)}, not {list(parameter.shape)}")
    write_into(parameter.detach(), tensor, staging_for([tensor]), name="a tensor", source=source)


def staging_for(tensors: Iterable[Tensor]) -> torch.Tensor:
    """Bytes enough for STAGING, for the largest tensor, or for one row of any."""
    size = row = 1
    for tensor in tensors:
        size = max(size, tensor.nbytes)
        row = max(row, tensor.nbytes // max(1, tensor.shape[0] if tensor.shape else 1))
    return torch.empty(max(min(size, STAGING), row), dtype=torch.uint8)


def write_into(
    weight: torch.Tensor, tensor: Tensor, staging: torch.Tensor, *, name: str, source: Source
) -> None:
    """Copy the stored elements into `weight`, whatever its layout, a piece at a time."""
    kind = TORCH.get(tensor.dtype)
    if kind is None:
        raise Unsupported(source, f"{escape(name)} is of type {tensor.dtype}, not a weight's")
    if not tensor.size:
        return
    # Flat where the bytes lie in the file's order, row by row where they do not (channels last).
    rows = weight.view(-1) if weight.is_contiguous() else weight
    size = rows[:1].numel() * tensor.dtype.bits // 8
    done = 0
    for count in _staged(tensor, staging.numpy(), size):
        stored = staging[: count * size].view(kind)
        rows[done : done + count].copy_(stored.view(count, *rows.shape[1:]))
        done += count
    if done != len(rows):
        raise Damaged(source, f"{escape(name)} ends after {done} of {len(rows)} rows")


def _staged(tensor: Tensor, staging: NDArray[np.uint8], size: int) -> Iterator[int]:
    """Fill `staging` with rows of `size` bytes, again and again: the number of whole ones."""
    held = 0
    for chunk in tensor.chunks():
        rest = np.frombuffer(chunk, np.uint8)
        while len(rest):
            taken = rest[: len(staging) - held]
            staging[held : held + len(taken)] = taken
            held, rest = held + len(taken), rest[len(taken) :]
            if held == len(staging):
                whole = held // size
                yield whole
                held -= whole * size
                staging[:held] = staging[whole * size : whole * size + held]
    if held >= size:
        yield held // size
