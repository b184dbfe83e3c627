"""The parts of a file that is known by its keys rather than by a network's whole list of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile

from sfumato.catalogue.parts import UNKNOWN, plain
from sfumato.catalogue.verdict import Part
from sfumato.containers.tensor import Tensors


def tally(role: str, title: str, names: Iterable[str], model: Tensors) -> Part:
    """The part of `model` that the tensors called `names` make up; nothing is read."""
    kept = tuple(names)
    return plain(model, kept, role, title, prefix=shared_prefix(kept))


def with_rest(parts: Iterable[Part], model: Tensors) -> Iterator[Part]:
    """`parts`, and one more for the tensors of `model` that are in none of them."""
    taken = set[str]()
    for part in parts:
        taken.update(part.names)
        yield part
    rest = [name for name in model if name not in taken] if len(taken) < len(model) else []
    if rest:
        yield plain(model, rest, UNKNOWN.role, UNKNOWN.title)


def shared_prefix(names: Sequence[str]) -> str:
    """What all names begin with, up to a dot, an underscore or a colon; empty for one name."""
    if len(names) < 2:
        return ""
    pairs = zip(min(names), max(names), strict=False)
    shared = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return shared[: max(shared.rfind(mark) for mark in "._:") + 1]
