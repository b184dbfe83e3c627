"""One change of one weight, read from a LoRA's file and added in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import NamedTuple

import torch
from torch import Tensor

from sfumato.containers import tensor as stored
from sfumato.containers.dtype import BOOL, U8
from sfumato.containers.text import escape
from sfumato.errors import Damaged
from sfumato.operations.adapters.deltas.factored import Slots, matrix
from sfumato.operations.adapters.deltas.kinds import change, first_ranks, scale
from sfumato.operations.adapters.deltas.lengths import length
from sfumato.operations.adapters.lora import Lora
from sfumato.operations.adapters.parts import Part
from sfumato.operations.into_torch import read_into

HERE = ("scale", "terms", "bias_indices", "bias_values", "bias_size")
"""slots of single and of few numbers, which stay on the CPU"""


class Layer(NamedTuple):
    """One change at the strength it is used with; equal layers are the same change."""

    lora: Lora
    part: Part
    strength: float
    dyn: int


def add_layer(weight: Tensor, layer: Layer) -> float:
    """Add a change to a float32 weight in place: the squared norm of what was added.

    Raises Damaged, naming the tensor, where the file holds values that are no finite numbers or
    makes such of them; the weight may have taken them then.
    """
    part = layer.part
    read = read_slots(layer.lora, part)
    factor, slots = scale(part.kind, read), _placed(first_ranks(read, layer.dyn), weight.device)
    try:
        square = _add(part.view.of(weight), slots, layer, factor)
    except (ValueError, IndexError) as error:
        raise Damaged(layer.lora.path, f"{_example(part)}: {error}") from error
    if not isfinite(square):
        raise Damaged(layer.lora.path, f"{_example(part)} changes its weight beyond all bounds")
    return square


def _add(weight: Tensor, slots: Slots, layer: Layer, factor: float) -> float:
    plain = slots.keys() - {"alpha", "scale"} == {"up", "down"}
    low = plain and slots["down"].shape[0] ** 2 <= weight.numel()
    if low and (weight.ndim == 2 or weight.is_contiguous()):
        return _add_product(weight.flatten(1), slots, factor * layer.strength)
    found = change(layer.part.kind, slots, weight, scale=factor)
    weight.add_(found, alpha=layer.strength)
    return (float(length(found)) * layer.strength) ** 2


def _add_product(weight: Tensor, slots: Slots, factor: float) -> float:
    """weight += factor · up · down without holding the product; its squared norm.

    ‖up · down‖² is the sum over (upᵀ up) ∘ (down downᵀ), which are small.
    """
    up, down = matrix(slots["up"]), matrix(slots["down"])
    weight.addmm_(up, down, alpha=factor)
    # NaN must come out as NaN: max() would hide it.
    return float(((up.mT @ up) * (down @ down.mT)).sum().clamp(min=0)) * factor**2


def read_slots(lora: Lora, part: Part) -> Slots:
    """The tensors of one part in float32 on the CPU, with what the file's settings give."""
    constants: Mapping[str, float] = part.constants
    return {
        **{slot: _read(lora, part, slot) for slot in part.tensors},
        **{slot: torch.tensor(value) for slot, value in constants.items()},
    }


def _placed(slots: Slots, device: torch.device) -> Slots:
    return {slot: values if slot in HERE else values.to(device) for slot, values in slots.items()}


def _example(part: Part) -> str:
    return escape(next(iter(part.slots.values())))


def _read(lora: Lora, part: Part, slot: str) -> Tensor:
    tensor: stored.Tensor = part.tensors[slot]
    if tensor.dtype is BOOL:
        tensor = replace(tensor, dtype=U8)
    values = torch.empty(tensor.shape)
    read_into(values, tensor, source=lora.path)
    if not torch.isfinite(values).all():
        name = escape(part.slots[slot])
        raise Damaged(lora.path, f"{name} holds values that are no finite numbers")
    return values
