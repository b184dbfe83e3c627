"""The ways in which the LoRA family factors a change of weights, with what their shapes tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from sfumato.catalogue.trees.shapes import Shape

Slots = Mapping[str, Shape]
"""slot of a Suffix → shape of the module's tensor in it"""


class Measure(NamedTuple):
    """What a module's tensors say of the weight they change; 0 for what they do not say."""

    outputs: int = 0
    inputs: int = 0
    """inputs, times the kernel's area where the factors flatten the kernel"""
    rank: int = 0
    note: str = ""
    """a trait worth counting: "convolution", "Tucker", "both factors whole" …"""


@dataclass(frozen=True, slots=True)
class Flavour:
    """One factorisation."""

    name: str
    title: str
    measure: Callable[[Slots], Measure]


def _size(slots: Slots, slot: str, axis: int) -> int:
    shape = slots.get(slot, ())
    return shape[axis] if -len(shape) <= axis < len(shape) else 0


def _lora(slots: Slots) -> Measure:
    down, up = slots["down"], slots["up"]
    if len(down) < 2 or not up:
        return Measure()
    note = "Tucker" if "mid" in slots else "convolution" if prod(down[2:]) > 1 else ""
    return Measure(up[0], down[1], down[0], note)


def _loha(slots: Slots) -> Measure:
    tucker = "t1" in slots or "t2" in slots
    outputs = _size(slots, "w1_a", 1 if tucker else 0)
    note = "Tucker" if tucker else ""
    return Measure(outputs, _size(slots, "w1_b", 1), _size(slots, "w1_b", 0), note)


def _lokr(slots: Slots) -> Measure:
    tucker = "t2" in slots
    first = _factor(slots, "w1")
    second = (_size(slots, "w2_a", 1), _size(slots, "w2_b", 1)) if tucker else _factor(slots, "w2")
    rank = _size(slots, "w2_b", 0) or _size(slots, "w1_b", 0)
    note = "Tucker" if tucker else "" if rank else "both factors whole"
    return Measure(first[0] * second[0], first[1] * second[1], rank, note)


def _factor(slots: Slots, name: str) -> tuple[int, int]:
    """Outputs and inputs of one Kronecker factor, whole or as a product of two."""
    if name in slots:
        return _size(slots, name, 0), prod(slots[name][1:])
    return _size(slots, f"{name}_a", 0), prod(slots.get(f"{name}_b", (0, 0))[1:])


def _ia3(slots: Slots) -> Measure:
    size = prod(slots.get("weight") or slots.get("factor", (0,)))
    return Measure(note="one factor per row or column" if size else "")


def _glora(slots: Slots) -> Measure:
    """Old: a2 [in, r], a1 [r, in], b2 [out, r], b1 [r, in]; now first and second are swapped."""
    a1, b1 = slots.get("a1", ()), slots.get("b1", ())
    if len(a1) < 2 or len(b1) < 2:
        return Measure()
    old = glora_is_old(slots)
    outputs = _size(slots, "b2" if old else "b1", 0)
    return Measure(outputs, max(a1[:2]), min(a1[:2]), "old order of factors" if old else "")


def glora_is_old(slots: Slots) -> bool:
    """True where ΔW = W a2 a1 + b2 b1 rather than W a1 a2 + b1 b2: the rank stands first in a1."""
    a1 = slots.get("a1", ())
    return len(a1) >= 2 and a1[0] < a1[1]


def _oft(slots: Slots) -> Measure:
    blocks = slots.get("blocks") or slots.get("diag", ())
    if len(blocks) == 4:
        return Measure(blocks[1] * blocks[2], note=f"{blocks[0]} butterfly steps")
    return Measure(blocks[0] * blocks[1] if len(blocks) == 3 else 0)


def _whole(slots: Slots) -> Measure:
    shape = slots.get("diff") or slots.get("set", ())
    note = "convolution" if prod(shape[2:]) > 1 else ""
    return Measure(shape[0] if shape else 0, prod(shape[1:]) if len(shape) > 1 else 0, note=note)


def _vector(slots: Slots) -> Measure:
    for slot in ("w_norm", "b_norm", "diff_b"):
        if slots.get(slot):
            return Measure(slots[slot][0])
    return Measure()


FLAVOURS: tuple[Flavour, ...] = (
    Flavour("lora", "LoRA", _lora),
    Flavour("locon", "LoCon", _lora),
    Flavour("loha", "LoHa", _loha),
    Flavour("lokr", "LoKr", _lokr),
    Flavour("ia3", "IA3", _ia3),
    Flavour("ia3-peft", "IA3 (PEFT)", _ia3),
    Flavour("glora", "GLoRA", _glora),
    Flavour("glora-old", "GLoRA (old order)", _glora),
    Flavour("oft", "OFT", _oft),
    Flavour("oft-old", "OFT (old)", _oft),
    Flavour("oft-peft", "OFT (PEFT)", _oft),
    Flavour("boft", "BOFT", _oft),
    Flavour("full", "full difference", _whole),
    Flavour("set", "replaced weights", _whole),
    Flavour("norm", "norms", _vector),
    Flavour("bias", "biases", _vector),
    Flavour("dora", "DoRA", _vector),
)
"""every factorisation, the telling ones first; a file may mix them"""

BY_NAME: dict[str, Flavour] = {flavour.name: flavour for flavour in FLAVOURS}
ORDER: dict[str, int] = {flavour.name: index for index, flavour in enumerate(FLAVOURS)}


def refine(name: str, slots: Slots, measure: Measure) -> str:
    """The flavour where two share their suffixes and differ in their shapes."""
    if name == "lora" and measure.note:
        return "locon"
    if name == "oft" and len(slots.get("blocks", ())) == 4:
        return "boft"
    if name == "glora" and glora_is_old(slots):
        return "glora-old"
    return name
