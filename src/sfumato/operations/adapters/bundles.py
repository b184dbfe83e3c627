"""Embeddings that travel inside a LoRA file: a bundle's, or the tokens of cloneofsimo's trainer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sfumato.catalogue.adapters.grouping import BUNDLE
from sfumato.containers.tensor import Tensor, Tensors


def bundled(file: Tensors, keys: Iterable[str]) -> Mapping[str, Mapping[str, Tensor]]:
    """Name → the tensors of that embedding, under the keys of a file of its own. Nothing is read.

    `bundle_emb.<name>.<rest>` (A1111, OneTrainer) is <rest> of <name>; `<token>` is a tensor that
    is called as it is.
    """
    found: dict[str, dict[str, Tensor]] = {}
    for key in keys:
        name, _, rest = key.removeprefix(BUNDLE).partition(".")
        if not key.startswith(BUNDLE) or not rest:
            name = rest = key
        found.setdefault(name, {})[rest] = file[key]
    return found
