"""A Part counted from the tensors that belong to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import takewhile

from sfumato.catalogue.verdict import Part
from sfumato.containers.tensor import Tensors


def tally(role: str, title: str, names: Iterable[str], model: Tensors) -> Part:
    """The part of `model` that the tensors called `names` make up; nothing is read."""
    kept = tuple(names)
    parameters = nbytes = 0
    dtypes = Counter[str]()
    for name in kept:
        tensor = model[name]
        size = tensor.size
        parameters += size
        nbytes += size * tensor.dtype.bits // 8
        dtypes[tensor.dtype.name] += 1
    return Part(
        role=role,
        title=title,
        prefix=shared_prefix(kept),
        tensors=len(kept),
        parameters=parameters,
        nbytes=nbytes,
        dtypes=dict(dtypes),
        names=kept,
    )


def shared_prefix(names: tuple[str, ...]) -> str:
    """What all names begin with, up to a dot, an underscore or a colon; empty for one name."""
    if len(names) < 2:
        return ""
    pairs = zip(min(names), max(names), strict=False)
    shared = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return shared[: max(shared.rfind(mark) for mark in "._:") + 1]
