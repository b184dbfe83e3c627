"""The tensors of a LoRA file gathered by the module they change, with what their shapes tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sfumato.catalogue.adapters.flavours import BY_NAME, ORDER, Measure, refine
from sfumato.catalogue.adapters.prefixes import locate
from sfumato.catalogue.adapters.suffixes import Suffix, split
from sfumato.catalogue.shapes import Shape
from sfumato.containers.tensor import Tensors

BUNDLE = "bundle_emb."
"""what the keys of embeddings carried inside a LoRA begin with"""


@dataclass(frozen=True, slots=True)
class Change:
    """One module of a network and the tensors that change it."""

    name: str
    """as the file spells it"""
    target: str
    flat: str
    """name inside the network, dots as underscores"""
    scheme: str
    """who puts such a prefix; empty where it has none that tells"""
    dialects: frozenset[str]
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


Gathered = dict[str, dict[Suffix, str]]


def group(model: Tensors) -> Grouped:
    """Take the keys of a LoRA file apart by their suffixes."""
    grouped, found = Grouped(), Gathered()
    for key in model:
        taken = split(key)
        if key.startswith(BUNDLE) or (key.startswith("<") and key.endswith(">")):
            grouped.embeddings.append(key)
        elif taken is None:
            grouped.left_over.append(key)
        else:
            found.setdefault(taken[0], {})[taken[1]] = key
    for name, tensors in found.items():
        shapes = {suffix.slot: model[key].shape for suffix, key in tensors.items()}
        change = _change(name, tensors, shapes)
        if change is None:
            grouped.left_over += tensors.values()
        else:
            grouped.changes.append(change)
    return grouped


def _change(name: str, tensors: dict[Suffix, str], shapes: dict[str, Shape]) -> Change | None:
    named = {suffix.flavour for suffix in tensors if suffix.flavour}
    if not named:
        return None
    main = min(named, key=ORDER.__getitem__)
    if main == "lora" and not {"down", "up"} <= shapes.keys():
        return None
    measure = BY_NAME[main].measure(shapes)
    flavours = tuple(_flavours(named, main, refine(main, shapes, measure)))
    located = locate(name)
    return Change(
        name,
        located.target,
        located.flat,
        located.scheme,
        frozenset(suffix.dialect for suffix in tensors if suffix.dialect),
        flavours,
        measure,
        {suffix.slot: key for suffix, key in tensors.items()},
    )


def _flavours(named: set[str], main: str, refined: str) -> Iterator[str]:
    yield refined
    rest = sorted(named - {main}, key=ORDER.__getitem__)
    # A whole difference, and a replaced weight, bring their bias along.
    yield from (name for name in rest if not (name == "bias" and main in ("full", "set")))
