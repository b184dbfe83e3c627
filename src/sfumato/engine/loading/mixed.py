"""A checkpoint by what names it: one model, or a merge of several that is in no file yet."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.containers.open import open_model
from sfumato.containers.source import is_file
from sfumato.library.folders import bare
from sfumato.operations.merging.expression import is_expression, is_sum, parse
from sfumato.operations.merging.tree import Leaf, Merge

if TYPE_CHECKING:
    from sfumato.containers.model_file import ModelFile
    from sfumato.library.find import Shelf


def is_mix(name: str, shelf: Shelf) -> bool:
    """True for an expression such as "0.7*A + 0.3*B", unless a model is called so."""
    return is_sum(name, partial(shelf.find, "checkpoint"))


def mix_of(name: str, shelf: Shelf) -> Merge:
    """The merge that an expression says; raises UsageError for names that are nowhere."""

    labels: dict[str, Path] = {}

    def leaf(text: str) -> Leaf:
        path = shelf.find("checkpoint", text)
        label = bare(path.name)
        if labels.setdefault(label, path) != path:
            label = f"{path.parent.name} {label}"
        return Leaf(label, path)

    return Merge(parse(name, leaf))


def open_checkpoint(path: Path, shelf: Shelf) -> ModelFile:
    """A checkpoint to load: a file, or a merge whose weights are computed as they are read.

    A merge is called by its expression with the bare names of its models, so that it can be named
    again. Raises what `open_model` raises, and for a merge what `merge` does before it writes.
    """
    if is_file(path) or not is_mix(str(path), shelf):
        return open_model(path)
    from sfumato.operations.merging.merge import open_merge

    mixed = mix_of(str(path), shelf)
    file = open_merge(mixed).file
    file.path = Path(called(mixed))
    return file


def called(mixed: Merge) -> str:
    """A sum of models as it is typed: 0.7*dusk + 0.3*ink."""
    weights = mixed.root.options.get("weights", ())
    assert not isinstance(weights, int | float | str)
    text = ""
    for node, weight in zip(mixed.root.inputs, weights, strict=True):
        assert isinstance(node, Leaf) and isinstance(weight, int | float)
        sign = ("-" if weight < 0 else "") if not text else (" - " if weight < 0 else " + ")
        text += f"{sign}{abs(weight):.12g}*{_quoted(node.label)}"
    return text


def _quoted(label: str) -> str:
    plain = not set(label) & set("*()\"'") and label == " ".join(label.split())
    return label if plain and not is_expression(f" {label} ") else f'"{label}"'
