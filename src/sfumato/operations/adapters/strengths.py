"""How strong one change of a LoRA is: its norm, alone or beside that of the weight it changes."""

from __future__ import annotations

from math import isfinite, prod, sqrt
from typing import NamedTuple

import torch

from sfumato.catalogue.adapters.flavours import BY_NAME
from sfumato.containers.text import escape
from sfumato.errors import Damaged
from sfumato.operations.adapters.deltas.factored import Shape, Slots, matrix
from sfumato.operations.adapters.deltas.kinds import change, scale
from sfumato.operations.adapters.deltas.lengths import length
from sfumato.operations.adapters.layering import Layer, add_layer, read_slots
from sfumato.operations.adapters.lora_file import Lora
from sfumato.operations.adapters.opened import Opened
from sfumato.operations.adapters.parts import Part
from sfumato.operations.into_torch import read_into


class Strength(NamedTuple):
    """What one change does at strength 1."""

    rank: int
    """0 where the kind has none"""
    scale: float
    """alpha / rank"""
    norm: float | None
    """Frobenius norm of the change; None where it depends on a weight that is not there"""
    weight: float | None
    """norm of the weight itself; None without a model"""


@torch.no_grad()
def strength_on(lora: Lora, part: Part, model: Opened) -> Strength:
    """The strength of a change on its weight, which is read for it.

    Raises Damaged where the LoRA holds values that are no finite numbers, or makes such of them.
    """
    stored = model.target.tensors[part.key]
    weight = torch.empty(stored.shape)
    read_into(weight, stored, source=model.file.path)
    before = float(length(part.view.of(weight)))
    slots = read_slots(lora, part)
    norm = sqrt(add_layer(weight, Layer(lora, part, 1.0, 0)))
    return Strength(part.kind.rank(slots), scale(part.kind, slots), norm, before)


@torch.no_grad()
def strength_alone(lora: Lora, part: Part) -> Strength:
    """The strength of a change without a model; raises Damaged as `strength_on` does."""
    slots, example = read_slots(lora, part), escape(next(iter(part.slots.values())))
    try:
        rank, factor = part.kind.rank(slots), scale(part.kind, slots)
        if part.kind.depends or "magnitude" in slots:
            return Strength(rank, factor, None, None)
        norm = abs(factor) * _norm(part, slots)
    except (RuntimeError, ValueError, IndexError, KeyError, ZeroDivisionError) as error:
        misfit = f"{example}: its tensors do not fit each other, or any weight"
        raise Damaged(lora.path, misfit) from error
    if not isfinite(norm):
        raise Damaged(lora.path, f"{example} changes its weight beyond all bounds")
    return Strength(rank, factor, norm, None)


LARGEST = 1 << 27
"""numbers of a weight, of which the largest known has half as many; factors can stand for more"""


def _norm(part: Part, slots: Slots) -> float:
    shape = _shape(part.kind.name, slots)
    plain = slots.keys() - {"alpha", "scale"} == {"up", "down"}
    low = plain and slots["down"].shape[0] ** 2 <= prod(shape)
    if not low and prod(shape) > LARGEST:
        raise ValueError(f"a weight of {list(shape)}")
    if low:
        up, down = matrix(slots["up"]), matrix(slots["down"])
        # Beyond float32's digits for what nearly cancels, so in float64: the products are small.
        square = ((up.mT @ up).double() * (down @ down.mT).double()).sum()
        return sqrt(float(square.clamp(min=0)))  # NaN stays NaN
    found = change(part.kind, slots, torch.empty(shape))
    return float(length(found))


def _shape(kind: str, slots: Slots) -> Shape:
    """A shape of the weight that is changed, in which kernels may be flattened into the inputs."""
    if "diff" in slots:
        return tuple(slots["diff"].shape)
    if kind == "bias":
        return tuple(int(size) for size in slots["bias_size"])
    if "down" in slots and "mid" not in slots:
        return (slots["up"].shape[0], slots["down"].numel() // slots["down"].shape[0])
    sizes = BY_NAME[kind].measure({slot: tuple(values.shape) for slot, values in slots.items()})
    core = next((slots[name] for name in ("mid", "t1", "t2") if name in slots), None)
    return (sizes.outputs, sizes.inputs * (1 if core is None else prod(core.shape[2:])))
