"""LoRAs at the strengths they are used with: which changes lie over each weight, what they did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

from sfumato.containers.text import escape
from sfumato.errors import UsageError
from sfumato.operations.adapters.layering import Layer
from sfumato.operations.adapters.lora import Lora
from sfumato.operations.adapters.parts import Part
from sfumato.operations.applied import Applied


@dataclass(frozen=True, slots=True)
class Use:
    """A LoRA at the strengths that it is used with."""

    lora: Lora
    te: float = 1.0
    """of what it changes in text encoders"""
    unet: float | None = None
    """of what it changes in the UNet; `te` where None"""
    dyn: int = 0
    """only the first ranks of plain LoRA; 0 for all"""

    def strength(self, part: Part) -> float:
        """What the change of one weight is multiplied by."""
        return self.te if part.role != "unet" or self.unet is None else self.unet


@dataclass(frozen=True, slots=True)
class Stacks:
    """The layers over every weight, in the order of the LoRAs."""

    layers: Mapping[str, tuple[Layer, ...]]
    """key of the weight → its layers"""
    owners: Mapping[str, Sequence[int]]
    """key → the LoRA of each layer, by its place among the uses"""


def stacks(uses: Sequence[Use]) -> Stacks:
    """What lies over every weight; parts at strength 0 are left out.

    Raises UsageError for strengths that are no finite numbers.
    """
    for use in uses:
        if not all(isfinite(number) for number in (use.te, use.unet or 0.0)) or use.dyn < 0:
            raise UsageError(f"{escape(use.lora.name)}: strengths must be finite numbers")
    piles: dict[str, list[Layer]] = {}
    owners: dict[str, list[int]] = {}
    for number, use in enumerate(uses):
        for part in use.lora.parts:
            if strength := use.strength(part):
                dyn = use.dyn if part.kind.name in ("lora", "locon") else 0
                piles.setdefault(part.key, []).append(Layer(use.lora, part, strength, dyn))
                owners.setdefault(part.key, []).append(number)
    return Stacks({key: tuple(layers) for key, layers in piles.items()}, owners)


def applied(use: Use, squares: Mapping[bool, float], norms: Mapping[bool, float]) -> Applied:
    """The report on one LoRA.

    squares: squared norm of its changes, of the UNet (True) and of text encoders (False).
    norms: the same of the weights themselves; what is not there is not told.
    """
    touched = {part.role == "unet" for part in use.lora.parts}

    def change(unet: bool) -> float | None:
        square = squares.get(unet, 0.0)
        if unet not in touched or not square:
            return 0.0 if unet in touched else None
        norm = norms.get(unet)
        return sqrt(square / norm) if norm else None

    return Applied(
        "lora",
        use.lora.name,
        str(use.lora.path),
        use.lora.applied,
        use.lora.total,
        change(True),
        change(False),
        use.lora.notes,
        use.te if use.unet is None else use.unet,
        use.te,
    )
