"""The opened model that a walked pickle becomes."""

from __future__ import annotations

from contextlib import ExitStack

from sfumato.containers.model_file import Container, ModelFile
from sfumato.containers.pickles.values import Value
from sfumato.containers.source import Source
from sfumato.containers.torch.nested_value import Planter
from sfumato.containers.torch.storage import Storages
from sfumato.containers.torch.unwrap import flatten, without_inert


def opened(source: Source, container: Container, value: Value, storages: Storages) -> ModelFile:
    """The model with its names, extras and tree; the source closes with it."""
    storages.settle()
    root, _ = Planter(storages).plant(value)
    flat = flatten(root, storages.damaged, storages.limits)
    resources = ExitStack()
    resources.enter_context(source)
    return ModelFile(
        path=source.path,
        container=container,
        tensors=flat.tensors,
        size=source.size,
        extras=flat.extras,
        journal=storages.journal,
        wrapper=flat.wrapper,
        tree=without_inert(root),
        notes=(*storages.notes, *flat.notes),
        resources=resources,
    )
