"""The reader of torch zip archives, the format of torch.save since 1.6."""

from __future__ import annotations

from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import TORCH_ZIP, ModelFile
from sfumato.containers.source import Source
from sfumato.containers.torch.nested import opener
from sfumato.containers.torch.opened import opened
from sfumato.containers.torch.storage import Storages
from sfumato.containers.torch.zip_pickle import walk_zip


def read_torch_zip(source: Source, limits: Limits = DEFAULT) -> ModelFile:
    """The tensors of a torch zip archive; the source closes with the result.

    Raises Damaged, Unsupported or NotAModel, with the journal of what was seen before. A journal
    with refused events is the caller's to act on.
    """
    storages = Storages(source.path, source.size, limits)
    value = walk_zip(source, storages, "", opener(storages))
    return opened(source, TORCH_ZIP, value, storages)
