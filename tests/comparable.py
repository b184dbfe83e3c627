"""Small checkpoints that are casts, respellings, fine-tunes and mixtures of one another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sfumato.containers.arrays import array, cast_chunk, tensor_from
from sfumato.containers.dtype import DType
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from small_models import sd1
from toys import random_tensor

Model = Mapping[str, Tensor]


def cast(model: Model, dtype: DType) -> dict[str, Tensor]:
    """Every float tensor in another type."""
    return {name: _cast(t, dtype) if t.dtype.kind == "float" else t for name, t in model.items()}


def _cast(tensor: Tensor, dtype: DType) -> Tensor:
    data = bytes(cast_chunk(tensor.read(), tensor.dtype, dtype))
    return Tensor(dtype, tensor.shape, lambda: data)


def tuned(model: Model, amount: float, *, seed: int, under: str = "") -> dict[str, Tensor]:
    """`amount` of noise, relative to each tensor, in those whose name begins with `under`."""
    return {
        name: _noisy(tensor, amount, seed + number)
        if name.startswith(under) and tensor.dtype.kind == "float"
        else tensor
        for number, (name, tensor) in enumerate(model.items())
    }


def _noisy(tensor: Tensor, amount: float, seed: int) -> Tensor:
    values = array(tensor).astype(np.float64)
    noise = array(random_tensor(tensor.shape, seed=seed)).astype(np.float64)
    scale = amount * np.sqrt(np.mean(values**2) / np.mean(noise**2)) if values.any() else amount
    return tensor_from((values + scale * noise).astype("<f4"), tensor.dtype)


def mixed(*terms: tuple[float, Model]) -> dict[str, Tensor]:
    """The weighted sum of models, in the type of the first."""
    first = terms[0][1]
    return {
        name: _sum(name, terms) if tensor.dtype.kind == "float" else tensor
        for name, tensor in first.items()
    }


def _sum(name: str, terms: tuple[tuple[float, Model], ...]) -> Tensor:
    total = np.zeros(terms[0][1][name].shape)
    for weight, model in terms:
        total += weight * array(model[name]).astype(np.float64)
    return tensor_from(total.astype("<f4"), terms[0][1][name].dtype)


def small(*, ema: bool = False) -> dict[str, Tensor]:
    """A checkpoint with weights about as large as those of networks: 0.02."""
    model = sd1(ema=ema)
    return {
        name: tensor_from(array(tensor).astype("<f4") * np.float32(0.02))
        if tensor.dtype.kind == "float" and tensor.shape
        else tensor
        for name, tensor in model.items()
    }


def stored(path: Path, model: Model) -> Path:
    """Save a model and give its path back."""
    save(path, model, force=True)
    return path
