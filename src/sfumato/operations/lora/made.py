"""The tensors of a LoRA that is to be written, by module, and how they get their names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import torch

from sfumato.catalogue.spelling.networks import Module
from sfumato.containers.arrays import from_float32
from sfumato.containers.dtype import F32, DType
from sfumato.containers.tensor import Buffer, Tensor
from sfumato.containers.text import escape
from sfumato.errors import Refused
from sfumato.operations.cast import Losses, cast
from sfumato.operations.lora.spellings import Style

Compute = Callable[[], torch.Tensor]
"""called whenever the numbers are needed"""


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """What changes one module."""

    role: str
    module: Module
    kind: str
    """name of the kind of change"""
    slots: Mapping[str, Tensor]
    """slot, as the catalogue's suffixes call it → tensor"""

    @property
    def rank(self) -> int:
        """Of a plain pair; 0 for everything else."""
        return self.slots["down"].shape[0] if "down" in self.slots else 0


def computed(shape: tuple[int, ...], make: Compute) -> Tensor:
    """A float32 tensor that is computed whenever it is read."""

    def read() -> Buffer:
        with torch.no_grad():
            return from_float32(make().reshape(shape).numpy(), F32)

    return Tensor(F32, shape, read)


def number(value: float) -> Tensor:
    """A single float32, which every reader takes and which holds any alpha."""
    return computed((), lambda: torch.tensor(value))


def product(
    role: str,
    module: Module,
    shape: tuple[int, ...],
    rank: int,
    *,
    up: Compute,
    down: Compute,
) -> Made:
    """A change up (o, r) · down (r, i …) of a weight (o, i, …) as kohya stores it.

    down (r, i, …), up (o, r, 1 …), alpha = rank: the scale is 1, whoever reads it.
    """
    ones = (1,) * (len(shape) - 2)
    slots = {
        "down": computed((rank, *shape[1:]), down),
        "up": computed((shape[0], rank, *ones), up),
        "alpha": number(float(rank)),
    }
    return Made(role, module, "lora", slots)


def folded(made: Made, factor: float) -> Made:
    """The same change with its scale multiplied into `up`, and no tensor that says it."""
    kept = {slot: t for slot, t in made.slots.items() if slot not in ("alpha", "scale")}
    for slot in ("up", "up_bias"):
        if factor != 1.0 and slot in kept:
            kept[slot] = scaled(kept[slot], factor)
    return replace(made, slots=kept)


def scaled(tensor: Tensor, factor: float) -> Tensor:
    """A tensor times a number, in its own type."""

    def make() -> torch.Tensor:
        from sfumato.operations.into_torch import read_into

        values = torch.empty(tensor.shape)
        read_into(values, tensor)
        return values.mul_(factor)

    return cast("", computed(tensor.shape, make), tensor.dtype)


def spelled(
    every: Iterable[Made],
    style: Style,
    family: str,
    *,
    dtype: DType | None = None,
    losses: Losses | None = None,
) -> dict[str, Tensor]:
    """Name → tensor in a spelling; floats but alpha in `dtype`, where that is given.

    Raises Refused where the spelling has no name for a module, or for a tensor of it.
    """
    found: dict[str, Tensor] = {}
    for made in every:
        path = style.path(made.role, made.module, family)
        # Where no tensor says the scale, it is 1 by now.
        silent = () if style.scales else ("alpha", "scale")
        for slot, tensor in made.slots.items():
            if slot in silent:
                continue
            ending = style.ending(made.role, made.kind, slot)
            if not path or not ending:
                raise Refused(_nameless(made, slot if path else "", style))
            if dtype is not None and slot not in ("alpha", "scale"):
                tensor = cast(path + ending, tensor, dtype, losses)
            found[path + ending] = tensor
    return found


def _nameless(made: Made, slot: str, style: Style) -> str:
    what = escape(f"{made.role}.{made.module.diffusers}", 100)
    if not slot:
        return f"{what}: {style.title} have no place for it"
    return f"{what}: {style.title} have no word for its {slot}"


def is_kernel(shape: tuple[int, ...]) -> bool:
    """True for a convolution that looks at more than one place."""
    return math.prod(shape[2:]) > 1
