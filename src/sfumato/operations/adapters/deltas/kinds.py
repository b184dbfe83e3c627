"""Every kind of change with its function and its scale, and the one way to compute any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from sfumato.operations.adapters.deltas.dependent import (
    boft,
    decomposed,
    glora,
    glora_old,
    ia3,
    ia3_peft,
    nothing,
    oft,
    oft_old,
    oft_peft,
    replaced,
)
from sfumato.operations.adapters.deltas.factored import (
    Shape,
    Slots,
    full,
    loha,
    lokr,
    lora,
    sparse,
)


def _no_rank(slots: Slots) -> int:
    return 0


def _down(slots: Slots) -> int:
    return slots["down"].shape[0]


def _w1_b(slots: Slots) -> int:
    return slots["w1_b"].shape[0]


def _lokr(slots: Slots) -> int:
    """Zero where both factors are whole: then alpha means nothing."""
    low = slots["w2_b"] if "w2_b" in slots else slots.get("w1_b")
    return 0 if low is None else low.shape[0]


def _a1(slots: Slots) -> int:
    return min(slots["a1"].shape[:2])


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to write down a change of a weight."""

    name: str
    """the catalogue's flavour"""
    free: Callable[[Slots, Shape], Tensor] | None = None
    """the change, where it does not depend on the weight …"""
    bound: Callable[[Slots, Tensor], Tensor] | None = None
    """… and where it does"""
    rank: Callable[[Slots], int] = _no_rank
    """what alpha is divided by; 0 where alpha is no scale"""

    @property
    def depends(self) -> bool:
        """True where the change depends on the weight, so that it cannot be subtracted."""
        return self.bound is not None and self.bound is not nothing


KINDS: tuple[Kind, ...] = (
    Kind("lora", lora, rank=_down),
    Kind("locon", lora, rank=_down),
    Kind("loha", loha, rank=_w1_b),
    Kind("lokr", lokr, rank=_lokr),
    Kind("ia3", bound=ia3),
    Kind("ia3-peft", bound=ia3_peft),
    Kind("glora", bound=glora, rank=_a1),
    Kind("glora-old", bound=glora_old, rank=_a1),
    Kind("oft", bound=oft),
    Kind("oft-old", bound=oft_old),
    Kind("oft-peft", bound=oft_peft),
    Kind("boft", bound=boft),
    Kind("full", full),
    Kind("lora-bias", full, rank=_down),
    Kind("set", bound=replaced),
    Kind("bias", bound=nothing),
    Kind("dora", bound=nothing),
)
"""every kind that changes a weight; norms and biases are full differences of vectors"""

BY_NAME: dict[str, Kind] = {kind.name: kind for kind in KINDS}


def scale(kind: Kind, slots: Slots) -> float:
    """What the whole change is multiplied by: the `scale` key, else alpha / rank, else 1."""
    if "scale" in slots:
        return float(slots["scale"])
    rank = kind.rank(slots) if "alpha" in slots else 0
    return float(slots["alpha"]) / rank if rank else 1.0


def first_ranks(slots: Slots, count: int) -> Slots:
    """The first `count` ranks of a plain pair up · down; other kinds whole (A1111's `dyn`)."""
    if not count or "up" not in slots or "mid" in slots:
        return slots
    return {**slots, "up": slots["up"][:, :count], "down": slots["down"][:count]}


def change(kind: Kind, slots: Slots, weight: Tensor, *, scale: float = 1.0) -> Tensor:
    """The change that a module's tensors make to `weight` at strength 1, in its shape.

    slots, weight: float32 on one device, single numbers and a sparse bias on the CPU. scale: see
    `scale`. Raises RuntimeError, ValueError or IndexError where the sizes do not fit, on meta
    tensors too.
    """
    if kind.free is not None:
        found = kind.free(slots, tuple(weight.shape))
    elif kind.bound is not None:
        found = kind.bound(slots, weight)
    else:
        raise ValueError(f"{kind.name} has no function")
    if "bias_values" in slots:
        found = found + sparse(slots, tuple(weight.shape)).to(weight.device)
    if scale != 1.0:
        found = found * scale
    if "magnitude" in slots:
        found = decomposed(found, slots["magnitude"], weight)
    return found
