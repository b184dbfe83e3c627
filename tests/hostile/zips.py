"""A zip file put together field by field, so that any field can lie."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from struct import pack


@dataclass(frozen=True)
class Member:
    """One member; what is None is filled in truthfully."""

    name: str | bytes
    data: bytes = b""
    method: int = 0
    flags: int = 0
    crc: int | None = None
    size: int | None = None
    packed: int | None = None
    local_name: bytes | None = None
    local_flags: int | None = None
    local_method: int | None = None
    local_size: int | None = None
    header: int | None = None
    """what the directory says of the local header's offset"""
    local_extra: bytes = b""
    central_extra: bytes = b""
    descriptor: bytes = b""
    """what follows the data"""
    disk: int = 0

    @property
    def raw_name(self) -> bytes:
        return self.name.encode() if isinstance(self.name, str) else self.name

    @property
    def stored(self) -> bytes:
        if self.method != 8:
            return self.data
        engine = zlib.compressobj(9, zlib.DEFLATED, -15)
        return engine.compress(self.data) + engine.flush()


def _or(value: int | None, truth: int) -> int:
    return truth if value is None else value


def _sizes(member: Member) -> tuple[int, int, int]:
    crc = _or(member.crc, zlib.crc32(member.data))
    packed = _or(member.packed, len(member.stored))
    return crc, packed, _or(member.size, len(member.data))


def _local(member: Member) -> bytes:
    crc, packed, size = _sizes(member)
    name = member.raw_name if member.local_name is None else member.local_name
    flags, method = (
        _or(member.local_flags, member.flags),
        _or(member.local_method, member.method),
    )
    if flags & 8:
        crc = packed = size = 0
    size = _or(member.local_size, size)
    head = pack("<4s5H3L2H", b"PK\3\4", 20, flags, method, 0, 33, crc, packed, size,
                len(name), len(member.local_extra))  # fmt: skip
    return head + name + member.local_extra


def _central(member: Member, offset: int) -> bytes:
    crc, packed, size = _sizes(member)
    head = pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, member.flags, member.method, 0, 33, crc, packed,
                size, len(member.raw_name), len(member.central_extra), 0, member.disk, 0, 0,
                _or(member.header, offset))  # fmt: skip
    return head + member.raw_name + member.central_extra


def assemble(
    members: Sequence[Member],
    *,
    prefix: bytes = b"",
    comment: bytes = b"",
    before_directory: bytes = b"",
    count: int | None = None,
    directory_size: int | None = None,
    directory_offset: int | None = None,
    disk: int = 0,
    zip64: bytes = b"",
) -> bytes:
    """The archive: members, directory, `zip64` where given, end record, comment."""
    out = bytearray(prefix)
    offsets: list[int] = []
    for member in members:
        offsets.append(len(out))
        out += _local(member) + member.stored + member.descriptor
    out += before_directory
    start = len(out)
    for member, offset in zip(members, offsets, strict=True):
        out += _central(member, offset)
    size, number = len(out) - start, _or(count, len(members))
    end = pack("<4s4H2LH", b"PK\5\6", disk, 0, number & 0xFFFF, number & 0xFFFF,
               _or(directory_size, size), _or(directory_offset, start), len(comment))  # fmt: skip
    return bytes(out) + zip64 + end + comment


def end64(count: int, size: int, offset: int, at: int, **lies: int) -> bytes:
    """The 64-bit end record that lies at offset `at`, with its locator."""
    record = pack("<4sQ2H2L4Q", b"PK\6\6", lies.get("length", 44), 45, 45, lies.get("disk", 0), 0,
                  count, count, size, offset)  # fmt: skip
    return record + pack("<4sLQL", b"PK\6\7", 0, lies.get("elsewhere", at), lies.get("disks", 1))


EMPTY_DICT = b"\x80\2}."


def torch_zip(*extra: Member, pickle: bytes = EMPTY_DICT, **fields: int | bytes) -> bytes:
    """A torch file with this pickle and further members; the fields belong to the pickle."""
    first = Member("archive/data.pkl", pickle, **fields)  # type: ignore[arg-type]
    return assemble([first, *extra, Member("archive/version", b"3\n")])
