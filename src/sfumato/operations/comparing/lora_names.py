"""The tensors of a LoRA by the modules they change, whichever program named them."""

from __future__ import annotations

from collections.abc import Mapping

from sfumato.catalogue.adapters.grouping import Change, group
from sfumato.catalogue.adapters.lora_names import names
from sfumato.containers.tensor import Tensors

TARGETS = ("unet", "text_encoder", "text_encoder_2")


def lora_names(model: Tensors, family: str) -> Mapping[str, str]:
    """Name in the file → "unet.down_blocks.0.attentions.0.proj_in.down", diffusers' path and slot.

    Modules that no network of the family has keep their flattened name; tensors that belong to no
    module, and any two that would share a name, keep their own.
    """
    found = {name: name for name in model}
    for change in group(model).changes:
        path = _path(change, family)
        found |= {key: f"{path}.{slot}" for slot, key in change.slots.items()}
    counts: dict[str, int] = {}
    for there in found.values():
        counts[there] = counts.get(there, 0) + 1
    return {name: there if counts[there] == 1 else name for name, there in found.items()}


def _path(change: Change, family: str) -> str:
    for target in (change.target,) if change.target else TARGETS:
        module = names(family, target).get(change.flat)
        if module is not None:
            return f"{target}.{module.diffusers}"
    return f"{change.target}.{change.flat}".removeprefix(".")
