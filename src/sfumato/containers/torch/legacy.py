"""The reader of stacked pickles, the format of torch.save before 1.6."""

from __future__ import annotations

from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import TORCH_LEGACY, ModelFile
from sfumato.containers.source import Source
from sfumato.containers.torch.nested import opener
from sfumato.containers.torch.opened import opened
from sfumato.containers.torch.stack import walk_stack
from sfumato.containers.torch.storage import Storages


def read_torch_legacy(source: Source, limits: Limits = DEFAULT) -> ModelFile:
    """The tensors of a legacy torch file; the source closes with the result.

    Raises Damaged, with the journal of what was seen before. A journal with refused events is the
    caller's to act on.
    """
    storages = Storages(source.path, source.size, limits)
    value = walk_stack(source, storages, "", opener(storages))
    return opened(source, TORCH_LEGACY, value, storages)
