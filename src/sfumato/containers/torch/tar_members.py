"""The members of a torch tar file: plain files of four names, and nothing a tar can do besides."""

from __future__ import annotations

import re
from pathlib import Path

from sfumato.containers.limits import Limits
from sfumato.containers.text import escape
from sfumato.containers.torch.readable import Readable, Span
from sfumato.errors import Damaged, Unsupported

BLOCK = 512
NEEDED = ("storages", "tensors", "pickle")
NAMES = {*NEEDED, "sys_info"}
PLAIN, PAX = (b"0", b"\0"), (b"x", b"g")
HARMLESS_PAX = {"mtime", "atime", "ctime", "uid", "gid", "uname", "gname", "comment"}
"""extended facts that change neither what a member is called nor where its bytes are"""
LONGEST_PAX = 64 << 10


def read_members(source: Readable, limits: Limits) -> dict[str, Span]:
    """The members by name; raises Unsupported for any other tar, Damaged for a broken one."""
    members: dict[str, Span] = {}
    at = 0
    for _ in range(limits.tar_members):
        if at + BLOCK > source.size:
            raise Damaged(source.path, f"the tar archive has no end; it stops at offset {at}")
        header = source.read(at, BLOCK)
        if not any(header):
            return _complete(source.path, members)
        name, size, sort = _parse(source.path, header, at)
        start = at + BLOCK
        if start + size > source.size:
            raise Damaged(
                source.path,
                f"the tar member {escape(name)} has {size} bytes, and the file ends after "
                f"{source.size - start}",
            )
        if sort in PAX:
            _check_pax(source, start, size)
        elif sort not in PLAIN or name not in NAMES:
            raise Unsupported(
                source.path, f"is a tar archive with {escape(name)} in it, not a torch file"
            )
        elif name in members:
            raise Damaged(source.path, f"the tar archive holds {escape(name)} twice")
        else:
            members[name] = Span(source, start, size)
        at = start + -(-size // BLOCK) * BLOCK
    raise Damaged(source.path, f"the tar archive has more than {limits.tar_members} members")


def _complete(path: Path, members: dict[str, Span]) -> dict[str, Span]:
    missing = [name for name in NEEDED if name not in members]
    if missing:
        raise Damaged(path, f"the tar archive lacks the member {missing[0]} of a torch file")
    return members


def _parse(path: Path, header: bytes, at: int) -> tuple[str, int, bytes]:
    """Name, size and type flag; the header's checksum must be right."""
    checksum = _octal(header[148:156])
    found = sum(header) - sum(header[148:156]) + 8 * 32
    if checksum != found or header[257:262] != b"ustar":
        raise Damaged(path, f"has no sound tar header at offset {at}")
    size = _octal(header[124:136])
    if size is None:
        raise Damaged(path, f"the tar header at offset {at} has a size that is not a number")
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    whole = b"/".join(filter(None, (prefix, name)))
    return whole.decode("utf-8", "backslashreplace"), size, header[156:157]


def _octal(field: bytes) -> int | None:
    """An octal number as tar writes it, or the binary form for sizes from 8 GiB on."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    return int(digits, 8) if re.fullmatch(rb"[0-7]+", digits) else None


def _check_pax(source: Readable, start: int, size: int) -> None:
    """Refuse extended headers that would rename, resize or relocate a member."""
    if size > LONGEST_PAX:
        raise Damaged(source.path, f"the tar archive has an extended header of {size} bytes")
    data = source.read(start, size).rstrip(b"\0")
    while data:
        record = re.match(rb"(\d{1,6}) ([^=\n]+)=", data)
        length = int(record[1]) if record else 0
        if record is None or length > len(data) or data[length - 1 : length] != b"\n":
            raise Damaged(source.path, "the tar archive has a broken extended header")
        key = record[2].decode("utf-8", "backslashreplace")
        if key not in HARMLESS_PAX:
            raise Unsupported(source.path, f"the tar archive uses {escape(key)}, unlike torch")
        data = data[length:]
