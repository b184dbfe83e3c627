"""The answer to "what is this?": one look at the names and shapes of a model's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from sfumato.catalogue.oddities import shard
from sfumato.catalogue.parts import plain
from sfumato.catalogue.structure import is_certain, is_whole, structure
from sfumato.catalogue.survey import survey
from sfumato.catalogue.verdict import Part, Verdict
from sfumato.containers.model_file import ModelFile

if TYPE_CHECKING:
    from sfumato.containers.model_file import Leaf
    from sfumato.containers.tensor import Tensors


def identify(
    model: Tensors,
    *,
    metadata: Mapping[str, str] | None = None,
    extras: Mapping[str, Leaf] | None = None,
    stem: str = "",
) -> Verdict:
    """Say what `model` is, with its parts, its reasons and what speaks against it.

    metadata, extras: text and values beside the tensors, as `open_model` gives them.
    stem: the file's name without its suffix; it is the trigger word of an embedding, and evidence
    of nothing.

    Names and shapes decide. Nothing is read, but for one tensor of a few hundred numbers where an
    SD2 UNet must be told from its v-predicting twin.
    """
    verdict = _identify(model, metadata or {}, extras or {}, stem)
    hint = shard(stem)
    return replace(verdict, evidence=(*verdict.evidence, hint)) if hint else verdict


def _identify(
    model: Tensors, metadata: Mapping[str, str], extras: Mapping[str, Leaf], stem: str
) -> Verdict:
    tensors = model.tensors if isinstance(model, ModelFile) else model  # quicker to ask
    found = survey({name: tensor.shape for name, tensor in tensors.items()})
    if is_whole(found):
        return structure(tensors, found, metadata, extras)
    other = _adapter(model, metadata, extras, stem)
    if other is None and not is_certain(found):
        other = _other(model, metadata)
    if other is not None:
        return _with_parts(model, other)
    return structure(tensors, found, metadata, extras)


def _adapter(
    model: Tensors, metadata: Mapping[str, str], extras: Mapping[str, Leaf], stem: str
) -> Verdict | None:
    from sfumato.catalogue.adapters import recognise

    return recognise(model, metadata, extras, stem)


def _other(model: Tensors, metadata: Mapping[str, str]) -> Verdict | None:
    from sfumato.catalogue.others import recognise

    return recognise(model, metadata)


def _with_parts(model: Tensors, verdict: Verdict) -> Verdict:
    """`verdict` with every tensor in exactly one part."""
    if verdict.parts:
        return verdict
    strange = set(verdict.left_over)
    own = [name for name in model if name not in strange]
    parts: list[Part] = []
    if own:
        parts.append(plain(model, own, verdict.kind.replace("-", "_"), verdict.title))
    if strange:
        rest = [name for name in model if name in strange]
        parts.append(plain(model, rest, "unknown", "tensors that no known program reads"))
    return replace(verdict, parts=tuple(parts))
