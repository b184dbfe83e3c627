"""A layer of a LoRA that keeps its numbers, in the words of another spelling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import torch

from sfumato.catalogue.adapters.flavours import BY_NAME
from sfumato.containers.arrays import array
from sfumato.containers.tensor import Tensor
from sfumato.containers.text import escape
from sfumato.errors import Refused
from sfumato.operations.adapters.deltas.kinds import scale
from sfumato.operations.adapters.parts import ONE
from sfumato.operations.lora.layers import Layer
from sfumato.operations.lora.made import Made, folded, number, scaled
from sfumato.operations.lora.spellings import Style


def keep(layer: Layer, style: Style) -> Made | None:
    """Its tensors by slot, for a spelling: the bytes of the file wherever they can stay.

    None for a part that another one of the same module says again. Only single numbers are read.
    """
    part, slots, factor = layer.part, dict(layer.slots), factor_of(layer)
    kind = part.kind.name
    if kind == "ia3-peft" and not layer.is_matrix:
        return None
    if "up_bias" in slots:
        bias = slots["up_bias"] if factor == 1.0 else scaled(slots["up_bias"], factor)
        word = "up_bias" if style.ending(part.role, kind, "up_bias") else "diff_b"
        return Made(part.role, layer.module, kind, {word: bias})
    if "magnitude" in slots:
        slots["magnitude"] = _magnitude(slots["magnitude"], layer, style)
    made = Made(part.role, layer.module, kind, slots)
    if not style.scales:
        return folded(made, factor) if "up" in slots else made
    if "up" in slots and not slots.keys() & {*ONE}:
        return replace(made, slots={**slots, "alpha": number(factor * made.rank)})
    return made


def factor_of(layer: Layer) -> float:
    """What its change is multiplied by; no more than single numbers is read."""
    slots = {
        slot: torch.tensor(float(array(tensor).reshape(-1)[0]))
        if slot in ONE
        else torch.empty(tensor.shape, device="meta")
        for slot, tensor in layer.part.tensors.items()
    }
    given = {slot: torch.tensor(value) for slot, value in layer.part.constants.items()}
    return scale(layer.part.kind, {**slots, **given})


def _magnitude(lengths: Tensor, layer: Layer, style: Style) -> Tensor:
    """DoRA's lengths of rows in the shape that a spelling has for them; of columns as they are."""
    rows = len(lengths.shape) == 1 or lengths.shape[0] == layer.shape[0] == lengths.size
    if not rows:
        return lengths
    ones = (1,) * (len(layer.shape) - 1)
    if style.scales:
        return replace(lengths, shape=(lengths.size, *ones))
    return replace(lengths, shape=(1, lengths.size, *ones[1:]) if ones[1:] else (lengths.size,))


def unspeakable(every: Sequence[tuple[Layer, Made]], style: Style, family: str) -> list[Layer]:
    """Layers that a spelling has no words for."""
    return [layer for layer, made in every if not _speaks(layer, made, style, family)]


def _speaks(layer: Layer, made: Made, style: Style, family: str) -> bool:
    named = bool(style.path(made.role, made.module, family))
    columns = "magnitude" in made.slots and layer.part.tensors["magnitude"].shape[:1] == (1,)
    return (
        named
        and all(style.ending(made.role, made.kind, slot) for slot in made.slots)
        and (style.scales or not columns or layer.shape[0] == 1)
    )


def refuse(layers: Sequence[Layer], style: Style) -> Refused:
    """The sentence for layers that a spelling has no words for."""
    counts = Counter(kind_title(layer) for layer in layers)
    told = ", ".join(f"{count} of {kind}" for kind, count in counts.items())
    return Refused(
        f"{escape(layers[0].name, 100)} and such layers ({told}): {style.title} have no words "
        "for them; a rank makes plain LoRA of what can be one"
    )


def kind_title(layer: Layer) -> str:
    """A layer's kind as a person says it."""
    if "magnitude" in layer.part.tensors:
        return BY_NAME["dora"].title
    if not layer.is_matrix:
        return "norms and biases"
    found = BY_NAME.get(layer.part.kind.name)
    return found.title if found is not None else layer.part.kind.name
