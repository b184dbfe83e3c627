"""The tensors of a LoRA file gathered by the module they change, with what their shapes tell."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from sfumato.catalogue.adapters.flavours import BY_NAME, ORDER, Measure, refine
from sfumato.catalogue.adapters.prefixes import locate
from sfumato.catalogue.adapters.suffixes import Suffix, split
from sfumato.containers.tensor import Tensors

BUNDLE = "bundle_emb."
"""what the keys of embeddings carried inside a LoRA begin with"""


class Change(NamedTuple):
    """One module of a network and the tensors that change it."""

    name: str
    """as the file spells it"""
    target: str
    flat: str
    """name inside the network, dots as underscores"""
    scheme: str
    """who puts such a prefix; empty where it has none that tells"""
    dialects: AbstractSet[str]
    """who writes such suffixes"""
    flavours: tuple[str, ...]
    """the main flavour first; "dora", "norm" and "bias" may follow"""
    measure: Measure
    slots: dict[str, str]
    """slot → key in the file"""

    @property
    def flavour(self) -> str:
        """The main flavour."""
        return self.flavours[0]


@dataclass(slots=True)
class Grouped:
    """A LoRA file taken apart."""

    changes: list[Change] = field(default_factory=list[Change])
    left_over: list[str] = field(default_factory=list[str])
    """keys that are no part of a change"""
    embeddings: list[str] = field(default_factory=list[str])
    """keys of embeddings carried along"""

    @property
    def used(self) -> int:
        """Tensors that are part of a change."""
        return sum(len(change.slots) for change in self.changes)


Gathered = dict[str, list[tuple[Suffix, str]]]
"""module → its suffixes with the whole keys"""


def group(model: Tensors) -> Grouped:
    """Take the keys of a LoRA file apart by their suffixes."""
    grouped, found = Grouped(), Gathered()
    for key in model:
        taken = split(key)
        if key.startswith((BUNDLE, "<")) and _carried(key):
            grouped.embeddings.append(key)
        elif taken is None:
            grouped.left_over.append(key)
        elif taken[0] in found:
            found[taken[0]].append((taken[1], key))
        else:
            found[taken[0]] = [(taken[1], key)]
    for name, tensors in found.items():
        change = _change(name, tensors, model)
        if change is None:
            grouped.left_over += [key for _, key in tensors]
        else:
            grouped.changes.append(change)
    return grouped


def _carried(key: str) -> bool:
    """True for an embedding: a bundle's, or a token's, as cloneofsimo's trainer has them."""
    return key.startswith(BUNDLE) or key.endswith(">")


def _change(name: str, tensors: list[tuple[Suffix, str]], model: Tensors) -> Change | None:
    named = {suffix.flavour for suffix, _ in tensors if suffix.flavour}
    slots = {suffix.slot: key for suffix, key in tensors}
    if not named or len(slots) < len(tensors):
        return None
    main = min(named, key=ORDER.__getitem__)
    if main == "lora" and not ("down" in slots and "up" in slots):
        return None
    shapes = {slot: model[key].shape for slot, key in slots.items()}
    measure = BY_NAME[main].measure(shapes)
    located = locate(name)
    return Change(
        name,
        located.target,
        located.flat,
        located.scheme,
        {suffix.dialect for suffix, _ in tensors if suffix.dialect},
        (refine(main, shapes, measure), *_companions(named, main)),
        measure,
        slots,
    )


def _companions(named: set[str], main: str) -> list[str]:
    """The other flavours of a module; a whole difference brings its bias along."""
    skipped = (main, "bias") if main in ("full", "set") else (main,)
    return sorted(named.difference(skipped), key=ORDER.__getitem__)
