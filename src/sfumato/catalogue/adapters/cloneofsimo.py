"""The LoRAs of cloneofsimo's trainer, which numbers modules instead of naming them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from sfumato.catalogue.adapters.flavours import Measure
from sfumato.catalogue.adapters.grouping import Change, Grouped
from sfumato.catalogue.adapters.lora_names import FAMILIES, numbered
from sfumato.containers.tensor import Tensors

_KEY = re.compile(r"(unet|text_encoder):(\d{1,6}):(up|down)")

Pairs = dict[tuple[str, int], dict[str, str]]
"""network, number → "up" and "down" → key"""


class Numbered(NamedTuple):
    """A file of numbered modules, taken apart."""

    grouped: Grouped
    spelling: str


def group_numbered(model: Tensors, metadata: Mapping[str, str]) -> Numbered | None:
    """Take a file of numbered modules apart; None where `model` is no such file."""
    listed = _from_list(model)
    pairs, rest = (listed, []) if listed else _from_names(model)
    if not pairs:
        return None
    grouped = Grouped()
    for key in rest:
        token = metadata.get(key) == "<embed>" or (key[:1], key[-1:]) == ("<", ">")
        (grouped.embeddings if token else grouped.left_over).append(key)
    for (network, number), slots in pairs.items():
        change = _change(network, number, slots, model)
        if change is None:
            grouped.left_over += slots.values()
        else:
            grouped.changes.append(change)
    name_numbered(grouped.changes)
    return Numbered(grouped, "cloneofsimo-list" if listed else "cloneofsimo")


def _from_names(model: Tensors) -> tuple[Pairs, list[str]]:
    pairs, rest = Pairs(), list[str]()
    for key in model:
        match = _KEY.fullmatch(key)
        if match is None:
            rest.append(key)
        else:
            pairs.setdefault((match[1], int(match[2])), {})[match[3]] = key
    return pairs, rest


def _from_list(model: Tensors) -> Pairs:
    """A bare list [up0, down0, up1, down1 …] of matrices that can be multiplied in turn."""
    count = len(model)
    if count < 8 or count % 2 or "0" not in model or str(count - 1) not in model:
        return {}
    pairs = Pairs()
    for index in range(count // 2):
        up, down = str(2 * index), str(2 * index + 1)
        if up not in model or down not in model:
            return {}
        left, right = model[up].shape, model[down].shape
        if len(left) != 2 or len(right) != 2 or left[1] != right[0]:
            return {}
        pairs["", index] = {"up": up, "down": down}
    # The text encoder's layers keep their width; a UNet's do not.
    square = all(model[s["up"]].shape[0] == model[s["down"]].shape[1] for s in pairs.values())
    network = "text_encoder" if square else "unet"
    return {(network, index): slots for (_, index), slots in pairs.items()}


def _change(network: str, number: int, slots: dict[str, str], model: Tensors) -> Change | None:
    if len(slots) != 2:
        return None
    up, down = model[slots["up"]].shape, model[slots["down"]].shape
    if len(up) < 2 or len(down) < 2:
        return None
    measure = Measure(up[0], down[1], down[0])
    return Change(f"{network}:{number}", network, "", "", frozenset(), ("lora",), measure, slots)


def name_numbered(changes: list[Change]) -> None:
    """Give the changes, in place, the names of the modules that have their numbers and widths."""
    for target in ("unet", "text_encoder"):
        own = {change.name: change for change in changes if change.target == target}
        context = {c.measure.inputs for c in own.values()} & {768, 1024}
        for family in FAMILIES[:2]:
            paths = numbered(family.name, target)
            if len(paths) != len(own) or context != {768 if family.name == "sd1" else 1024}:
                continue
            for index, change in enumerate(changes):
                number = int(change.name.rpartition(":")[2])
                if change.name in own and number < len(paths):
                    flat = paths[number].replace(".", "_")
                    changes[index] = change._replace(flat=flat)
