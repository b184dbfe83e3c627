"""Small checkpoints that can be merged: the same names and shapes, other numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.dtype import F32, DType
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from small_models import IDS, sd1
from toys import random_tensor

Arrays = dict[str, NDArray[np.float32]]


def model(seed: int, dtype: DType = F32) -> dict[str, Tensor]:
    """A checkpoint in SD1's layout whose numbers depend on the seed."""
    return {
        name: tensor
        if name == IDS
        else random_tensor(tensor.shape, dtype, seed=1000 * seed + number)
        for number, (name, tensor) in enumerate(sd1().items())
    }


def write(folder: Path, *names: str, dtype: DType = F32) -> list[Path]:
    """Write a model for each name, which is also its seed."""
    paths = [folder / f"{name}.safetensors" for name in names]
    for path in paths:
        save(path, model(ord(path.stem[0]), dtype), force=True)
    return paths


def arrays(path: Path) -> Arrays:
    """Every tensor of a file as float32."""
    with open_model(path) as opened:
        return {name: array(tensor).astype("<f4") for name, tensor in opened.items()}


def changed(tensors: Mapping[str, Tensor], name: str, values: object) -> dict[str, Tensor]:
    """The same with other numbers in one tensor."""
    return {**tensors, name: tensor_from(np.asarray(values, np.float32))}
