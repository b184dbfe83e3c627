"""The readers of single files: the format is found by content, and one of them is chosen."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sfumato.containers.journal import Journal
from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import (
    GGUF,
    NPZ,
    PICKLE,
    PICTURE,
    SAFETENSORS,
    TENSORFLOW_V1,
    TENSORFLOW_V2,
    TORCH_LEGACY,
    TORCH_TAR,
    TORCH_ZIP,
    Container,
    ModelFile,
)
from sfumato.containers.sniffing.sniff import sniff
from sfumato.containers.source import Source
from sfumato.errors import BadFile, Damaged, Dangerous, Unsupported

NAMED = 3
"""refused names that a message tells; the journal has all"""


@dataclass(frozen=True, slots=True)
class Reader:
    """How the files of one container are read."""

    container: Container
    read: Callable[[Source, Limits], ModelFile]


# Each reader is imported when it is needed: asking what one file is should not wait for numpy,
# Pillow and the readers of ten other formats.


def _safetensors(source: Source, limits: Limits) -> ModelFile:
    from sfumato.containers.safetensors.read import read_safetensors

    return read_safetensors(source, limits)


def _torch_zip(source: Source, limits: Limits) -> ModelFile:
    from sfumato.containers.torch.zip_file import read_torch_zip

    return read_torch_zip(source, limits)


def _torch_legacy(source: Source, limits: Limits) -> ModelFile:
    from sfumato.containers.torch.legacy import read_torch_legacy

    return read_torch_legacy(source, limits)


def _torch_tar(source: Source, limits: Limits) -> ModelFile:
    from sfumato.containers.torch.tar import read_torch_tar

    return read_torch_tar(source, limits)


def _pickle(source: Source, limits: Limits) -> ModelFile:
    from sfumato.containers.torch.plain import read_pickle

    return read_pickle(source, limits)


def _npz(source: Source, limits: Limits) -> ModelFile:
    from sfumato.containers.npz import read_npz

    return read_npz(source, limits)


def _gguf(source: Source, limits: Limits) -> ModelFile:
    from sfumato.containers.gguf import read_gguf

    return read_gguf(source, limits)


def _picture(source: Source, limits: Limits) -> ModelFile:
    from sfumato.containers.pictures.read import read_picture

    return read_picture(source, limits)


def _tensorflow_v1(source: Source, limits: Limits) -> ModelFile:
    from sfumato.containers.tensorflow import read_tensorflow_v1

    return read_tensorflow_v1(source, limits)


def _tensorflow_v2(source: Source, limits: Limits) -> ModelFile:
    from sfumato.containers.tensorflow import read_tensorflow_v2

    model = read_tensorflow_v2(source.path, limits)
    model.resources.callback(source.close)
    return model


READERS: tuple[Reader, ...] = (
    Reader(SAFETENSORS, _safetensors),
    Reader(TORCH_ZIP, _torch_zip),
    Reader(TORCH_LEGACY, _torch_legacy),
    Reader(TORCH_TAR, _torch_tar),
    Reader(PICKLE, _pickle),
    Reader(NPZ, _npz),
    Reader(GGUF, _gguf),
    Reader(PICTURE, _picture),
    Reader(TENSORFLOW_V1, _tensorflow_v1),
    Reader(TENSORFLOW_V2, _tensorflow_v2),
)
"""every container of one file"""


def open_file(
    path: str | os.PathLike[str],
    *,
    limits: Limits = DEFAULT,
    readers: tuple[Reader, ...] = READERS,
) -> ModelFile:
    """Open one file by its content. No tensor is read.

    Raises NotAModel, Unsupported or Damaged for bytes that are no usable model, Dangerous where
    reading them elsewhere would run foreign code, Unreadable where they cannot be had.
    """
    return checked(Path(path), lambda: _read(Path(path), limits, readers))


def checked(path: Path, read: Callable[[], ModelFile]) -> ModelFile:
    """What `read` opens; raises Dangerous where its journal says so, damaged or not."""
    try:
        model = read()
    except BadFile as error:
        if error.journal is not None and error.journal.dangerous:
            # Damage after a payload does not undo the payload.
            raise _dangerous(path, error.journal, f"; besides, it {error.reason}") from error
        raise
    if model.journal.dangerous:
        model.close()
        raise _dangerous(path, model.journal)
    return model


def _read(path: Path, limits: Limits, readers: tuple[Reader, ...]) -> ModelFile:
    source = Source(path)
    try:
        model = _reader(path, sniff(source, limits), readers).read(source, limits)
        if source.changed():
            raise Damaged(path, f"had {source.size} bytes and changed while it was being opened")
    except BaseException:
        source.close()
        raise
    return model


def _reader(path: Path, container: Container, readers: tuple[Reader, ...]) -> Reader:
    for reader in readers:
        if reader.container == container:
            return reader
    raise Unsupported(path, f"is {container.title}, which cannot be part of another model")


def _dangerous(path: Path, journal: Journal, more: str = "") -> Dangerous:
    names = list(dict.fromkeys(event.name for event in journal.refused))
    told = ", ".join(names[:NAMED])
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return Dangerous(
        path,
        f"would run foreign code where it is loaded the usual way: it refers to {told}{rest}{more}",
        journal=journal,
    )
