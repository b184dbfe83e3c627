"""Saving one file: choose the format, write it beside the old file, prove it, put it in place."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sfumato.containers.atomic import replacing
from sfumato.containers.layout import Layout, Plan
from sfumato.containers.limits import Limits
from sfumato.containers.model_file import (
    GGUF,
    PICTURE,
    SAFETENSORS,
    TORCH_ZIP,
    Container,
    ModelFile,
    Tree,
)
from sfumato.containers.safetensors.read import HARD_LIMIT, read_safetensors
from sfumato.containers.safetensors.write import plan_safetensors
from sfumato.containers.source import Source
from sfumato.containers.tensor import Tensors
from sfumato.containers.verify import compare, compare_metadata
from sfumato.errors import BadFile, Unverified, UsageError

Progress = Callable[[int, int], None]
"""called with bytes done and bytes in all; checking what was written counts as well"""


Late = Mapping[str, Future[str]]
"""stand-ins in the metadata, and the text that each is replaced by"""


@dataclass(frozen=True, slots=True)
class Saved:
    """An output that is in place."""

    path: Path
    container: Container
    nbytes: int
    """bytes on disk"""
    tensors: int
    verified: bool
    """True where it was read back and compared"""


@dataclass(frozen=True, slots=True)
class Writer:
    """How one format is written, and read back."""

    container: Container
    suffixes: tuple[str, ...]
    plan: Plan
    read: Callable[[Source], ModelFile]
    keeps_metadata: bool
    """True where the metadata reads back as it was given"""


def _read_safetensors(source: Source) -> ModelFile:
    return read_safetensors(source, Limits(safetensors_header=HARD_LIMIT))


def _plan_torch(tensors: Tensors, metadata: Mapping[str, str], *, tree: Tree = None) -> Layout:
    from sfumato.containers.torch.write import plan_torch

    return plan_torch(tensors, metadata, tree=tree)


def _read_torch(source: Source) -> ModelFile:
    from sfumato.containers.torch.zip_file import read_torch_zip

    return read_torch_zip(source)


def _plan_gguf(tensors: Tensors, metadata: Mapping[str, str], *, tree: Tree = None) -> Layout:
    from sfumato.containers.gguf.write import plan_gguf

    return plan_gguf(tensors, metadata, tree=tree)


def _read_gguf(source: Source) -> ModelFile:
    from sfumato.containers.gguf import read_gguf

    return read_gguf(source)


def _plan_picture(tensors: Tensors, metadata: Mapping[str, str], *, tree: Tree = None) -> Layout:
    from sfumato.containers.pictures.read import plan_picture

    return plan_picture(tensors, metadata, tree=tree)


def _read_picture(source: Source) -> ModelFile:
    from sfumato.containers.pictures.read import read_picture

    return read_picture(source)


WRITERS: tuple[Writer, ...] = (
    Writer(SAFETENSORS, (".safetensors", ".sft"), plan_safetensors, _read_safetensors, True),
    Writer(TORCH_ZIP, (".pt", ".pth", ".ckpt", ".bin"), _plan_torch, _read_torch, False),
    Writer(GGUF, (".gguf",), _plan_gguf, _read_gguf, False),
    Writer(PICTURE, (".png",), _plan_picture, _read_picture, False),
)
"""every format that is written to one file"""


def writer_for(path: str | os.PathLike[str], container: Container | None = None) -> Writer:
    """The writer of a container, or of the path's suffix; raises UsageError where there is none."""
    suffix = Path(path).suffix.lower()
    for writer in WRITERS:
        if writer.container == container or (container is None and suffix in writer.suffixes):
            return writer
    known = ", ".join(suffix for writer in WRITERS for suffix in writer.suffixes)
    wanted = f"{container.title} is not written" if container else f"no format ends in {suffix!r}"
    raise UsageError(f"{path}: {wanted}; formats that are: {known}")


def save_file(
    path: str | os.PathLike[str],
    tensors: Tensors,
    metadata: Mapping[str, str] | None = None,
    *,
    container: Container | None = None,
    force: bool = False,
    progress: Progress | None = None,
    verify: bool = True,
    tree: Tree = None,
    late: Late | None = None,
    plan: Plan | None = None,
    accept: Callable[[], None] | None = None,
) -> Saved:
    """Write tensors to a file of the format that `container` or the path's suffix names.

    The output may be one of the files the tensors come from. A `tree` is the nested value that a
    pickle format writes instead of the flat names; `plan` is the format's writer with options.
    `late` names stand-ins in the metadata of a safetensors file, each replaced by a text of the
    same length that is only known when the tensors have been written. `accept` is called then,
    and may raise. Raises Refused, OutputExists, NoRoom or Unverified; the old file is untouched
    unless all went well.
    """
    metadata, late = metadata or {}, late or {}
    writer = writer_for(path, container)
    layout = (plan or writer.plan)(tensors, metadata, tree=tree)
    count = _counter(progress, layout.nbytes * (2 if verify else 1))
    with replacing(path, layout.nbytes, force=force) as sink:
        layout.emit(sink, count)
        if accept is not None:
            accept()
        metadata = _put_in(sink, metadata, late)
        sink.flush()
        nbytes = os.fstat(sink.fileno()).st_size
        if nbytes > layout.nbytes:
            raise Unverified(f"{path}: {layout.nbytes} bytes were planned, {nbytes} written")
        if verify:
            # The disk finishes writing while the bytes are read back from memory.
            with ThreadPoolExecutor(1) as disk:
                synced = disk.submit(os.fsync, sink.fileno())
                with _about(path), writer.read(Source(sink.name)) as written:
                    compare(written, tensors, layout.digests, count)
                    if writer.keeps_metadata:
                        compare_metadata(written.metadata, metadata)
                synced.result()
    return Saved(Path(path), writer.container, nbytes, len(tensors), verify)


def _put_in(sink: BinaryIO, metadata: Mapping[str, str], late: Late) -> Mapping[str, str]:
    """Overwrite every stand-in where it stands, near the beginning of a safetensors file."""
    for stand_in, future in late.items():
        text = future.result()
        key = next(key for key, value in metadata.items() if stand_in in value)
        metadata = {**metadata, key: metadata[key].replace(stand_in, text)}
        sink.seek(0)
        header = sink.read(int.from_bytes(sink.read(8), "little"))
        place = header.find(stand_in.encode())
        assert place >= 0 and len(text) == len(stand_in)
        sink.seek(8 + place)
        sink.write(text.encode())
        sink.seek(0, os.SEEK_END)
    return metadata


@contextmanager
def _about(path: str | os.PathLike[str]) -> Generator[None]:
    """What is wrong with the unfinished output is said of the output."""
    try:
        yield
    except BadFile as error:
        raise Unverified(f"{path}: what was written cannot be read: {error.reason}") from error
    except Unverified as error:
        raise Unverified(f"{path}: {error}") from error


def _counter(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def count(nbytes: int) -> None:
        nonlocal done
        done += nbytes
        if progress is not None:
            progress(min(done, total), total)

    return count
