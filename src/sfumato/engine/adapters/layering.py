"""One change of one weight, read from a LoRA's file and added in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from sfumato.containers import tensor as stored
from sfumato.containers.dtype import BOOL, U8
from sfumato.containers.text import escape
from sfumato.engine.adapters.deltas.factored import Slots, matrix
from sfumato.engine.adapters.deltas.kinds import change, first_ranks, scale
from sfumato.engine.adapters.deltas.lengths import length
from sfumato.engine.adapters.lora import Lora
from sfumato.engine.adapters.parts import Part
from sfumato.engine.networks.fill import read_into
from sfumato.errors import Damaged

HERE = ("alpha", "scale", "terms", "bias_size")
"""slots of single numbers, which stay on the CPU"""


class Layer(NamedTuple):
    """One change at the strength it is used with; equal layers are the same change."""

    lora: Lora
    part: Part
    strength: float
    dyn: int


def add_layer(weight: Tensor, layer: Layer) -> float:
    """Add a change to a float32 weight in place: the squared norm of what was added.

    Raises Damaged, naming the tensor, where the file holds values that are no finite numbers.
    """
    part = layer.part
    slots = read_slots(layer.lora, part, weight.device)
    factor = scale(part.kind, slots)
    slots = first_ranks(slots, layer.dyn)
    target = part.view.of(weight)
    if slots.keys() - HERE == {"up", "down"} and (target.ndim == 2 or target.is_contiguous()):
        return _add_product(target.flatten(1), slots, factor * layer.strength)
    found = change(part.kind, slots, target, scale=factor)
    target.add_(found, alpha=layer.strength)
    return (float(length(found)) * layer.strength) ** 2


def _add_product(weight: Tensor, slots: Slots, factor: float) -> float:
    """weight += factor · up · down without holding the product; its squared norm.

    ‖up · down‖² is the sum over (upᵀ up) ∘ (down downᵀ), which are small.
    """
    up, down = matrix(slots["up"]), matrix(slots["down"])
    weight.addmm_(up, down, alpha=factor)
    return max(float(((up.mT @ up) * (down @ down.mT)).sum()), 0.0) * factor**2


def read_slots(lora: Lora, part: Part, device: torch.device) -> Slots:
    """The tensors of one part in float32, with what the file's settings give."""
    slots = {slot: _read(lora, part, slot) for slot in part.tensors}
    constants: Mapping[str, float] = part.constants
    return {
        **{slot: t if slot in HERE else t.to(device) for slot, t in slots.items()},
        **{slot: torch.tensor(value) for slot, value in constants.items()},
    }


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
