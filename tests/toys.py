"""Tiny random models, and the bytes of files that tests make by hand."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.dtype import F16, F32, DType
from sfumato.containers.save import save
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


def small_files(folder: Path) -> dict[str, bytes]:
    """One honest file of each format that is written to a single file, under its name."""
    tensors = random_tensors({"a.weight": (4, 3), "a.bias": (4,), "b": (2, 2, 1)}, F16)
    arrays = {name: torch.from_numpy(array(tensor).copy()) for name, tensor in tensors.items()}
    place = folder / "small"
    place.mkdir(exist_ok=True)
    save(place / "toy.safetensors", tensors, {"format": "pt", "title": "toy"}, force=True)
    save(place / "toy.gguf", tensors, force=True)
    torch.save({"state_dict": arrays, "global_step": 7}, place / "toy.ckpt")
    torch.save(arrays, place / "legacy.pt", _use_new_zipfile_serialization=False)
    np.savez(place / "toy.npz", **{name: value.numpy() for name, value in arrays.items()})
    return {path.name: path.read_bytes() for path in sorted(place.iterdir())}
