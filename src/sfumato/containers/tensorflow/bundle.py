"""The reader of TensorFlow V2 checkpoints: an index, and shards of raw numbers beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sfumato.containers.dtype import DType
from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import TENSORFLOW_V2, Leaf, ModelFile
from sfumato.containers.source import Source, is_file
from sfumato.containers.tensor import CHUNK, Buffer, Origin, Tensor
from sfumato.containers.tensorflow.assemble import Piece, assemble, covers
from sfumato.containers.tensorflow.crc import crc32c, masked
from sfumato.containers.tensorflow.messages import (
    DTYPES,
    OTHER_TYPES,
    Entry,
    bounds,
    integer,
    read_entry,
    slice_key,
)
from sfumato.containers.tensorflow.table import Table, has_table
from sfumato.containers.tensorflow.wire import WireError, fields
from sfumato.containers.text import escape
from sfumato.errors import Damaged, Unreadable, Unsupported

ENDING = re.compile(r"\.index$|\.data-\d{5}-of-\d{5}$")
"""what the files of one checkpoint add to its name"""

INDEX = 8 << 20
"""bytes of an index; a hundred take one tensor"""

SHARDS = 4096

CHECKED = 1 << 16
"""bytes of a tensor up to which its checksum is compared when it is read"""


@dataclass(slots=True)
class Bundle:
    """An open checkpoint."""

    prefix: Path
    """the name of the checkpoint, which is no file"""
    entries: Mapping[bytes, Entry]
    count: int
    """number of shards"""
    shards: dict[int, Source] = field(default_factory=dict[int, Source])
    resources: ExitStack = field(default_factory=ExitStack)

    @property
    def index(self) -> Path:
        """The file that names the tensors."""
        return beside(self.prefix, ".index")

    def shard(self, number: int) -> Source:
        """A data file, opened once; raises Damaged where it is missing."""
        if number not in self.shards:
            if not 0 <= number < self.count:
                raise Damaged(self.index, f"names shard {number}, and there are {self.count}")
            path = beside(self.prefix, f".data-{number:05d}-of-{self.count:05d}")
            if not path.exists():
                raise Damaged(self.index, f"needs {path.name} beside it, which is missing")
            self.shards[number] = self.resources.enter_context(Source(path))
        return self.shards[number]


def checkpoint_prefix(path: str | os.PathLike[str]) -> Path | None:
    """The prefix of the V2 checkpoint that `path` belongs to or is; None where it is none."""
    path = Path(path)
    prefix = path.with_name(ENDING.sub("", path.name))
    index = beside(prefix, ".index")
    if (prefix == path and is_file(path)) or not is_file(index):
        return None
    with Source(index) as source:
        return prefix if has_table(source) else None


def read_tensorflow_v2(path: str | os.PathLike[str], limits: Limits = DEFAULT) -> ModelFile:
    """The tensors of a checkpoint, given its prefix or any one of its files.

    Raises Damaged where a rule of the format is broken or a shard is missing or short.
    """
    path = Path(path)
    prefix = path.with_name(ENDING.sub("", path.name))
    with ExitStack() as stack:
        bundle = _open(prefix, limits)
        stack.enter_context(bundle.resources)
        tensors, extras = _tensors(bundle)
        size = sum(source.size for source in bundle.shards.values())
        model = ModelFile(
            path=path,
            container=TENSORFLOW_V2,
            tensors=tensors,
            size=size + bundle.index.stat().st_size,
            extras=extras,
            notes=tuple(_notes(bundle, extras)),
            resources=bundle.resources,
        )
        stack.pop_all()
    return model


def beside(prefix: Path, ending: str) -> Path:
    """One file of a checkpoint."""
    return prefix.with_name(prefix.name + ending)


def _open(prefix: Path, limits: Limits) -> Bundle:
    index = beside(prefix, ".index")
    if not is_file(index):
        raise Unreadable(prefix, f"has no {index.name} beside it, which a checkpoint needs")
    with Source(index) as source:
        if source.size > INDEX:
            raise Damaged(index, f"has {source.size} bytes; an index of {INDEX} is read")
        entries: dict[bytes, Entry] = {}
        count = 0
        for key, value in Table(source):
            if len(entries) > limits.tensors:
                raise Damaged(index, f"names more than {limits.tensors} tensors")
            try:
                if key:
                    entries[key] = read_entry(value)
                else:
                    count = _shard_count(index, value)
            except WireError as error:
                raise Damaged(index, f"the entry of {_shown(key)}: {error}") from error
    if not count:
        raise Damaged(index, "has no header, so it is no index of a V2 checkpoint")
    return Bundle(prefix, entries, count)


def _shard_count(index: Path, value: bytes) -> int:
    """How many shards the header tells of."""
    header = dict(fields(value))
    count, big = integer(header.get(1, 0)), integer(header.get(2, 0))
    if big:
        raise Unsupported(index, "is of a big-endian machine; only little-endian ones are read")
    if not 1 <= count <= SHARDS:
        raise Damaged(index, f"tells of {count} shards")
    return count


def _tensors(bundle: Bundle) -> tuple[dict[str, Tensor], dict[str, Leaf]]:
    """What can be read, and in words what cannot."""
    tensors: dict[str, Tensor] = {}
    extras: dict[str, Leaf] = {}
    for key, entry in bundle.entries.items():
        if key.startswith(b"\0"):
            continue  # a slice: reached from the entry of its variable
        try:
            name = key.decode()
        except UnicodeDecodeError as error:
            raise Damaged(bundle.index, f"the name {_shown(key)} is not UTF-8") from error
        if entry.dtype in DTYPES:
            tensors[name] = _tensor(bundle, name, entry)
        else:
            sort = OTHER_TYPES.get(entry.dtype, f"type {entry.dtype}")
            extras[name] = f"{sort} {list(entry.shape)}, not read"
    return tensors, extras


def _tensor(bundle: Bundle, name: str, entry: Entry) -> Tensor:
    dtype, shape = DTYPES[entry.dtype], entry.shape
    if not entry.slices:
        source = _place(bundle, name, entry, dtype.nbytes(shape))
        shard = bundle.prefix.name + f" {entry.shard}"
        return Tensor(
            dtype,
            shape,
            partial(_read, source, entry, name),
            partial(source.chunks, entry.offset, entry.size, CHUNK),
            Origin(f"{shard} + {entry.offset}", entry.size),
        )
    pieces = tuple(_pieces(bundle, name, entry, dtype))
    if not covers(pieces, shape):
        raise Damaged(bundle.index, f"the slices of {escape(name)} do not fill {list(shape)}")
    return Tensor(dtype, shape, partial(assemble, pieces, dtype, shape))


def _pieces(bundle: Bundle, name: str, whole: Entry, dtype: DType) -> Iterator[Piece]:
    for part in whole.slices:
        entry = bundle.entries.get(slice_key(name, part))
        if entry is None:
            raise Damaged(bundle.index, f"a slice of {escape(name)} has no entry")
        if entry.dtype != whole.dtype:
            raise Damaged(bundle.index, f"a slice of {escape(name)} has another type")
        try:
            place = bounds(part, whole.shape)
        except WireError as error:
            raise Damaged(bundle.index, f"{escape(name)}: {error}") from error
        sizes = tuple(end - start for start, end in place)
        source = _place(bundle, name, entry, dtype.nbytes(sizes))
        yield Piece(place, partial(_read, source, entry, name))


def _place(bundle: Bundle, name: str, entry: Entry, expected: int) -> Source:
    """The shard of an entry, which must lie inside it and have the bytes its shape asks for."""
    source = bundle.shard(entry.shard)
    if entry.size != expected:
        raise Damaged(
            bundle.index, f"{escape(name)} has {entry.size} bytes, and its shape {expected}"
        )
    if entry.offset < 0 or entry.offset + entry.size > source.size:
        raise Damaged(
            bundle.index,
            f"{escape(name)} needs bytes up to {entry.offset + entry.size} of "
            f"{source.path.name}, which has {source.size}; the download may be incomplete",
        )
    return source


def _read(source: Source, entry: Entry, name: str) -> Buffer:
    data = source.read(entry.offset, entry.size)
    if entry.size <= CHECKED and masked(crc32c(data)) != entry.checksum:
        raise Damaged(source.path, f"the checksum of {escape(name)} does not match")
    return data


def _notes(bundle: Bundle, extras: Mapping[str, Leaf]) -> Iterator[str]:
    graph = beside(bundle.prefix, ".meta")
    if is_file(graph):
        yield f"the graph of the network is in {graph.name}, which is not read"
    if extras:
        yield f"{len(extras)} entries are not numbers (text, resources); they are listed only"


def _shown(key: bytes) -> str:
    return escape(key.decode("utf-8", "backslashreplace")) or "the header"
