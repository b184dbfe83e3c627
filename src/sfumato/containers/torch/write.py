"""The writer of torch zip archives that every torch since 1.6 and AUTOMATIC1111 accept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO
from zlib import crc32

from sfumato.containers.layout import Progress, silent, stream
from sfumato.containers.model_file import Tree
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.containers.text import escape
from sfumato.containers.torch.archive import DESCRIPTOR, LOCAL, LONG, SHORT
from sfumato.containers.torch.directory import (
    CENTRAL,
    END,
    END64,
    LOCATOR,
    MAX16,
    MAX32,
    UTF8_NAME,
    ZIP64,
)
from sfumato.containers.torch.emit_pickle import PickleText, can_hold
from sfumato.containers.torch.unwrap import flatten
from sfumato.errors import Refused

ROOT = "archive"
"""the folder inside the archive; torch takes any, and this one where it knows no file name"""

ALIGNMENT = 64
FLAGS = DESCRIPTOR | UTF8_NAME


@dataclass(slots=True)
class Member:
    """One member with its place; the checksum is known once it was written."""

    name: bytes
    content: bytes | Tensor
    size: int
    header: int
    """offset of the local header"""
    crc: int = 0

    @property
    def wide(self) -> bool:
        """True where the sizes need 64 bits."""
        return self.size >= MAX32

    @property
    def data(self) -> int:
        """Offset of the first stored byte."""
        bare = self.header + LOCAL.size + len(self.name) + (20 if self.wide else 0) + 4
        return -(-bare // ALIGNMENT) * ALIGNMENT

    @property
    def end(self) -> int:
        """Offset of the first byte after the sizes that follow the data."""
        return self.data + self.size + 4 + (LONG if self.wide else SHORT).size

    def opening(self) -> bytes:
        """The local header, with an extra field that moves the data to a round offset."""
        wide = b""
        claim = 0
        if self.wide:
            claim = MAX32
            wide = ZIP64.to_bytes(2, "little") + b"\x10\0" + bytes(16)
        bare = LOCAL.size + len(self.name) + len(wide) + 4
        padding = self.data - self.header - bare
        extra = wide + b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
        head = LOCAL.pack(
            *(b"PK\3\4", 45 if wide else 0, FLAGS, 0, 0, 0, 0),
            *(claim, claim, len(self.name), len(extra)),
        )
        return head + self.name + extra

    def closing(self) -> bytes:
        """The checksum and sizes, which stand behind the data because it is streamed."""
        return b"PK\7\b" + (LONG if self.wide else SHORT).pack(self.crc, self.size, self.size)

    def listing(self) -> bytes:
        """The entry in the directory."""
        extra = b"".join(
            value.to_bytes(8, "little")
            for value in (self.size, self.size, self.header)
            if value >= MAX32
        )
        if extra:
            extra = ZIP64.to_bytes(2, "little") + len(extra).to_bytes(2, "little") + extra
        size, header = min(self.size, MAX32), min(self.header, MAX32)
        head = CENTRAL.pack(
            *(b"PK\1\2", 45 if extra else 0, 45 if extra else 0, FLAGS, 0, 0, 0, self.crc),
            *(size, size, len(self.name), len(extra), 0, 0, 0, 0, header),
        )
        return head + self.name + extra


@dataclass(slots=True)
class TorchLayout:
    """A planned torch file."""

    members: list[Member]
    names: Mapping[str, int]
    """tensor name → the member with its numbers"""
    nbytes: int
    digests: dict[str, int] = field(default_factory=dict[str, int])

    def emit(self, sink: BinaryIO, progress: Progress = silent) -> None:
        """Write the archive from first to last byte."""
        for member in self.members:
            _put(sink, member.opening(), progress)
            if isinstance(member.content, Tensor):
                member.crc = stream(member.name.decode(), member.content, sink, progress)
            else:
                member.crc = crc32(member.content)
                _put(sink, member.content, progress)
            _put(sink, member.closing(), progress)
        for member in self.members:
            _put(sink, member.listing(), progress)
        _put(sink, _ending(self.members), progress)
        self.digests.update((name, self.members[at].crc) for name, at in self.names.items())


def plan_torch(
    tensors: Tensors, metadata: Mapping[str, str] | None = None, *, tree: Tree = None
) -> TorchLayout:
    """Decide where everything goes. A `tree` is written instead of the flat names.

    Tied tensors share one storage. Metadata stand in the `tree` or nowhere.
    Raises Refused for an element type that torch does not have.
    """
    root = _flat_tree(tensors) if tree is None else tree
    named = flatten(root, Refused).tensors
    for name, tensor in named.items():
        if not can_hold(tensor.dtype):
            raise Refused(f"{escape(name)}: torch files cannot hold {tensor.dtype} tensors")
    pickle = PickleText()
    pickle.add(root)
    members: list[Member] = []
    _append(members, "data.pkl", pickle.close())
    for key, tensor in enumerate(pickle.storages):
        _append(members, f"data/{key}", tensor)
    _append(members, "version", b"3\n")
    names = {name: 1 + pickle.key(tensor) for name, tensor in named.items()}
    directory = sum(len(member.listing()) for member in members)
    return TorchLayout(members, names, members[-1].end + directory + len(_ending(members)))


def _flat_tree(tensors: Tensors) -> Tree:
    return {name: tensor for name, tensor in tensors.items()}  # noqa: C416  (a wider key type)


def _append(members: list[Member], name: str, content: bytes | Tensor) -> None:
    size = content.nbytes if isinstance(content, Tensor) else len(content)
    header = members[-1].end if members else 0
    members.append(Member(f"{ROOT}/{name}".encode(), content, size, header))


def _ending(members: list[Member]) -> bytes:
    """The end record, with its 64-bit form before it where that is needed."""
    start = members[-1].end
    size = sum(len(member.listing()) for member in members)
    count = len(members)
    end = start + size
    short = END.pack(
        *(b"PK\5\6", 0, 0, min(count, MAX16), min(count, MAX16)),
        *(min(size, MAX32), min(start, MAX32), 0),
    )
    if count < MAX16 and end < MAX32:
        return short
    long = END64.pack(b"PK\6\6", END64.size - 12, 45, 45, 0, 0, count, count, size, start)
    return long + LOCATOR.pack(b"PK\6\7", 0, end, 1) + short


def _put(sink: BinaryIO, data: bytes, progress: Progress) -> None:
    sink.write(data)
    progress(len(data))
