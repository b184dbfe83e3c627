"""The tensors that are not weights and still change pictures: position ids, noise schedules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sfumato.catalogue.numbers.measure import measurable
from sfumato.containers.arrays import array
from sfumato.containers.tensor import Tensor, Tensors

Doubles = NDArray[np.float64]

STEPS = 1000

LONGEST = 4096
"""positions of a text encoder: CLIP has 77"""


@dataclass(frozen=True, slots=True)
class PositionIds:
    """The state of one text encoder's table of positions, which is 0, 1, 2 … as integers."""

    tensor: str
    state: Literal["ok", "float", "broken", "missing"]
    """ok · float: the right values, stored as floats · broken: some become other positions when
    they are read as integers · missing: programs that need the table make it themselves"""
    broken: tuple[tuple[int, float], ...] = ()
    """index and value of what is not the integer it should be"""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A noise schedule table that is not the standard one of Stable Diffusion."""

    tensor: str
    differs: int
    """entries that differ"""
    worst: float
    """largest difference"""
    sort: Literal["rounded", "another", "shape"]
    """rounded: the standard values, cast to fp16 or bf16 on the way · another schedule · shape: it
    has not 1000 steps"""


def position_ids(model: Tensors) -> Iterator[PositionIds]:
    """The state of every CLIP text encoder's position ids."""
    for name in model:
        if name.endswith("position_ids") and "vision" not in name:
            yield _state(name, model[name])
        elif name.endswith("text_model.embeddings.token_embedding.weight"):
            table = name.removesuffix("token_embedding.weight") + "position_ids"
            if table not in model:
                yield PositionIds(table, "missing")


def _state(name: str, tensor: Tensor) -> PositionIds:
    floating = tensor.dtype.kind == "float" and measurable(tensor.dtype)
    if tensor.size > LONGEST or not (floating or tensor.dtype.kind == "int"):
        return PositionIds(name, "broken")
    values = array(tensor).reshape(-1).astype(np.float64)
    right = np.arange(values.size)
    with np.errstate(invalid="ignore"):
        # A1111 and transformers make them integers by cutting off: 75.9975 becomes 75 (pull
        # request 6728 of A1111).
        wrong = np.flatnonzero(~(np.trunc(values) == right))
    broken = tuple((int(at), float(values[at])) for at in wrong)
    if broken:
        return PositionIds(name, "broken", broken)
    return PositionIds(name, "float" if floating else "ok")


def _standard() -> dict[str, Doubles]:
    """The tables of ldm's ddpm.py that samplers read, for the "scaled linear" schedule."""
    first, last = 0.00085**0.5, 0.012**0.5
    betas = (first + (last - first) * np.arange(STEPS, dtype=np.float64) / (STEPS - 1)) ** 2
    products = np.asarray(np.cumprod(1 - betas), np.float64)
    tables: dict[str, Doubles] = {
        "betas": betas,
        "alphas_cumprod": products,
        "alphas_cumprod_prev": np.append(1.0, products[:-1]),
        "sqrt_alphas_cumprod": np.sqrt(products),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - products),
    }
    return tables


def schedule(model: Tensors) -> Iterator[Schedule]:
    """The schedule tables in `model` that are not the standard ones."""
    present = [name for name in _NAMES if name in model and measurable(model[name].dtype)]
    if not present:
        return
    standard = _standard()
    for name in present:
        found = _compare(name, model[name], standard[name])
        if found is not None:
            yield found


_NAMES = (
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
)  # fmt: skip


def _compare(name: str, tensor: Tensor, standard: Doubles) -> Schedule | None:
    if tensor.shape != standard.shape:
        return Schedule(name, tensor.size, 0.0, "shape")
    values = array(tensor).astype(np.float64)
    apart = np.abs(values - standard)
    differs = int(np.count_nonzero(~(apart <= 1e-6 * standard + 1e-9)))
    if not differs:
        return None
    worst = float(np.nan_to_num(apart, nan=0.0, posinf=0.0).max())
    return Schedule(name, differs, worst, "rounded" if _rounded(values, standard) else "another")


def _rounded(values: Doubles, standard: Doubles) -> bool:
    """True where the values are as far off as one rounding to bf16 or better makes them."""
    return bool(np.all(np.abs(values - standard) <= standard / 256))
