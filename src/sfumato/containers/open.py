"""Opening a model: one file, a folder, a sharded set, or a TensorFlow checkpoint by its prefix."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import SHARDED, ModelFile
from sfumato.containers.readers import READERS, Reader, checked, open_file
from sfumato.containers.source import Source, is_file, is_folder
from sfumato.errors import Unreadable

SHARD = re.compile(r"\.data-\d{5}-of-\d{5}$")
"""raw numbers of a TensorFlow checkpoint: the one thing that content cannot tell"""


def open_model(path: str | os.PathLike[str], *, limits: Limits = DEFAULT) -> ModelFile:
    """Open a file, a folder, or a TensorFlow checkpoint by its prefix. No tensor is read.

    Raises NotAModel, Unsupported or Damaged for bytes that are no usable model, Dangerous where
    reading them elsewhere would run foreign code, Unreadable where they cannot be had.
    """
    path = Path(path)
    return checked(path, lambda: _open(path, limits))


def _open(path: Path, limits: Limits) -> ModelFile:
    if "\0" in str(path):
        raise Unreadable(str(path).replace("\0", "\\0"), "is no path: it holds a zero byte")
    if is_folder(path):
        from sfumato.containers.folders.folder import read_folder

        return read_folder(path, limits)
    if SHARD.search(path.name) or not is_file(path):
        from sfumato.containers.tensorflow import checkpoint_prefix, read_tensorflow_v2

        if checkpoint_prefix(path) is not None:
            return read_tensorflow_v2(path, limits)
    return open_file(path, limits=limits, readers=(*READERS, Reader(SHARDED, _sharded)))


def _sharded(source: Source, limits: Limits) -> ModelFile:
    from sfumato.containers.folders.shards import read_sharded

    model = read_sharded(source.path, limits)
    model.resources.callback(source.close)
    return model
