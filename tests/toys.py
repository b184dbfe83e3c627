"""Tiny random models, and the bytes of files that tests make by hand."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sfumato.containers.arrays import tensor_from
from sfumato.containers.dtype import F32, DType
from sfumato.containers.tensor import Tensor, Tensors


def random_tensor(shape: tuple[int, ...], dtype: DType = F32, *, seed: int = 0) -> Tensor:
    """Normally distributed floats, or small whole numbers for the other types."""
    rng = np.random.default_rng(seed)
    if dtype.kind == "float":
        return tensor_from(rng.standard_normal(shape).astype("<f4"), dtype)
    return tensor_from(rng.integers(0, 2, shape).astype(dtype.carrier))


def random_tensors(
    shapes: Mapping[str, tuple[int, ...]], dtype: DType = F32, *, seed: int = 0
) -> dict[str, Tensor]:
    """One random tensor for each name, all different."""
    return {
        name: random_tensor(shape, dtype, seed=seed + number)
        for number, (name, shape) in enumerate(shapes.items())
    }


def contents(tensors: Tensors) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """All that a mapping holds, to be compared with ==."""
    return {
        name: (tensor.dtype.name, tensor.shape, b"".join(bytes(part) for part in tensor.chunks()))
        for name, tensor in tensors.items()
    }


def safetensors_bytes(header: object, data: bytes = b"") -> bytes:
    """A safetensors file with any header, right or wrong: bytes are taken as they are."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write(path: Path, content: bytes) -> Path:
    """Write a file and give its path back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
