"""Inspecting: from a path to its card, whether or not what lies there is a usable model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path

from sfumato.catalogue.adapters.alphas import read_alphas
from sfumato.catalogue.cards.advice import advise
from sfumato.catalogue.cards.card import Card
from sfumato.catalogue.cards.memory import needs
from sfumato.catalogue.cards.waste import waste
from sfumato.catalogue.identify import identify
from sfumato.catalogue.numbers.health import examine
from sfumato.catalogue.published import lookup
from sfumato.catalogue.triggers import sidecar_triggers
from sfumato.containers.hashes import Hashes, hash_file, hash_tensors
from sfumato.containers.journal import Journal
from sfumato.containers.model_file import ModelFile
from sfumato.containers.open import open_model
from sfumato.containers.sizes import counted
from sfumato.containers.tensor import Origin
from sfumato.errors import BadFile, Dangerous

Progress = Callable[[int, int], None]
"""called with bytes done and bytes in all"""


def inspect(
    path: str | PathLike[str],
    *,
    hashes: bool = False,
    deep: bool = False,
    progress: Progress | None = None,
) -> Card:
    """Say what `path` is. Nothing in the file is executed, and no tensor is read unless asked,
    but for the alphas of a LoRA, which are single numbers.

    hashes: read the whole file once, compute its hashes and look it up among published files.
    deep: read the numbers too: NaN, Inf, zeros, overflow risk, position ids, EMA against live.
        With `hashes`, also the hash of the tensors that survives a change of container.

    Raises Unreadable where the operating system does not give the bytes; everything that is wrong
    with the bytes themselves is a Card whose `verdict` is not "clean".
    """
    path = Path(path)
    try:
        with open_model(path) as model:
            card = _describe(model, hashes=hashes, deep=deep, progress=progress)
    except (BadFile, Dangerous) as error:
        card = _refused(path, error)
    if hashes and path.is_file():
        tensors = card.hashes.tensors if card.hashes is not None else ""
        found = replace(hash_file(path, progress=progress), tensors=tensors)
        card = replace(card, hashes=found, known=tuple(lookup(found)))
    return replace(card, advice=tuple(advise(card)))


def _describe(model: ModelFile, *, hashes: bool, deep: bool, progress: Progress | None) -> Card:
    identity = identify(model, metadata=model.metadata, extras=model.extras, stem=model.path.stem)
    if identity.adapter is not None:
        words = (*identity.trigger_words, *sidecar_triggers(model.path))
        adapter = identity.adapter
        if identity.kind == "lora" and not adapter.alphas:
            adapter = replace(adapter, alphas=read_alphas(model))
        identity = replace(identity, trigger_words=words, adapter=adapter)
    return Card(
        path=model.path,
        size=model.size,
        container=model.container,
        journal=model.journal,
        identity=identity,
        metadata=model.metadata,
        extras=model.extras,
        wrapper=model.wrapper,
        notes=(*model.notes, *_ties(model)),
        waste=waste(model, identity),
        memory=needs(model, identity),
        health=examine(model, progress=progress) if deep else None,
        hashes=Hashes(tensors=hash_tensors(model, progress=progress)) if hashes and deep else None,
    )


def _ties(model: ModelFile) -> Iterator[str]:
    """Tensors that are one: two names for the same bytes."""
    seen = set[tuple[Origin, tuple[int, ...]]]()
    ties = 0
    for tensor in model.values():
        if tensor.origin is not None and tensor.nbytes:
            key = (tensor.origin, tensor.shape)
            ties += key in seen
            seen.add(key)
    if ties:
        yield f"{counted(ties, 'tensor')} with the very bytes of another one (tied); stored once"


def _refused(path: Path, error: BadFile | Dangerous) -> Card:
    return Card(
        path=path,
        size=path.stat().st_size if path.is_file() else 0,
        verdict=error.verdict if isinstance(error, BadFile) else "dangerous",
        message=error.reason,
        journal=error.journal or Journal(),
    )
