"""The opened model that a walked pickle becomes."""

from __future__ import annotations

from contextlib import ExitStack

from sfumato.containers.model_file import Container, ModelFile
from sfumato.containers.pickles.values import Value
from sfumato.containers.source import Source
from sfumato.containers.torch.nested_value import Planter
from sfumato.containers.torch.storage import Storages
from sfumato.containers.torch.unwrap import flatten, without_inert

METADATA = "sfumato_metadata"
"""key of a pickled dictionary under which the metadata of other containers is kept"""

TEXTS = f"{METADATA}."


def opened(source: Source, container: Container, value: Value, storages: Storages) -> ModelFile:
    """The model with its names, extras and tree; the source closes with it."""
    storages.settle()
    root, _ = Planter(storages).plant(value)
    flat = flatten(root, storages.damaged, storages.limits)
    texts = {
        key: value
        for key, value in flat.extras.items()
        if key.startswith(TEXTS) and isinstance(value, str) and _unicode(key + value)
    }
    resources = ExitStack()
    resources.enter_context(source)
    return ModelFile(
        path=source.path,
        container=container,
        tensors=flat.tensors,
        size=source.size,
        metadata={key.removeprefix(TEXTS): text for key, text in texts.items()},
        extras={key: value for key, value in flat.extras.items() if key not in texts},
        journal=storages.journal,
        wrapper=flat.wrapper,
        tree=without_inert(root),
        notes=(*storages.notes, *flat.notes),
        resources=resources,
    )


def _unicode(text: str) -> bool:
    """False for halves of characters, which a pickle may hold and no other container."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
