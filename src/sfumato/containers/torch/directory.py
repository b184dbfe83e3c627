"""The table of contents at the end of a zip file, read as every program must read it."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from sfumato.containers.limits import Limits
from sfumato.containers.torch.readable import Readable
from sfumato.errors import Damaged

END = Struct("<4s4H2LH")
"""PK\\5\\6: this disk, first disk, entries here, entries in all, size, offset, comment length"""
LOCATOR = Struct("<4sLQL")
"""PK\\6\\7: disk, offset of the 64-bit end record, number of disks"""
END64 = Struct("<4sQ2H2L4Q")
"""PK\\6\\6: size of the rest, versions, disks, entries here, entries in all, size, offset"""
CENTRAL = Struct("<4s6H3L5H2L")
"""PK\\1\\2: versions, flags, method, time, date, crc, packed, size, lengths, disk, …, offset"""
LONGEST_COMMENT = 0xFFFF
MAX16, MAX32 = 0xFFFF, 0xFFFFFFFF
ZIP64 = 1
"""tag of the extra field that holds 64-bit sizes and offsets"""
UTF8_NAME = 0x800


@dataclass(slots=True)
class Entry:
    """One member as the table of contents describes it; `data` is filled from its local header."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    """bytes in the file"""
    size: int
    """bytes once unpacked"""
    header: int
    """offset of the local header"""
    data: int = -1
    """offset of the first stored byte; -1 where the local header contradicts the table"""


@dataclass(frozen=True, slots=True)
class Table:
    """Where the table of contents lies and how many entries it claims."""

    offset: int
    size: int
    count: int


def read_table(source: Readable, limits: Limits) -> tuple[Table, list[Entry]]:
    """The table of contents and its entries in order; raises Damaged where it is not sound."""
    table = _locate(source)
    if table.count > limits.zip_entries:
        raise Damaged(
            source.path,
            f"the zip archive lists {table.count} members; at most {limits.zip_entries} are read",
        )
    if table.size > table.count * 2048 + MAX16:
        raise Damaged(
            source.path,
            f"the zip directory takes {table.size} bytes for only {table.count} members",
        )
    return table, _entries(source, table)


def _locate(source: Readable) -> Table:
    """The one end record, which must be the last thing in the file."""
    length = min(source.size, LOCATOR.size + END.size + LONGEST_COMMENT)
    tail = source.read(source.size - length, length)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or at + END.size > length:
        raise Damaged(source.path, _why_endless(source))
    _, disk, first, here, count, size, offset, comment = END.unpack_from(tail, at)
    if at + END.size + comment != length:
        raise Damaged(source.path, "the zip end record is not the end of the file")
    end = source.size - length + at
    table, start = Table(offset, size, count), end
    locator = tail[max(0, at - LOCATOR.size) : at]
    if len(locator) == LOCATOR.size and locator.startswith(b"PK\6\7"):
        table, start = _locate64(source, locator, table, end - LOCATOR.size)
        here = table.count if here == MAX16 else here
    elif MAX16 in (disk, first, here, count) or MAX32 in (size, offset):
        raise Damaged(source.path, "the zip end record needs a 64-bit record, which is missing")
    if disk or first or (here != table.count):
        raise Damaged(source.path, "the zip archive is one part of several")
    if table.offset + table.size != start:
        raise Damaged(
            source.path,
            f"the zip directory of {table.size} bytes at offset {table.offset} does not end where "
            f"the end record begins, at {start}",
        )
    return table


def _locate64(source: Readable, locator: bytes, short: Table, end: int) -> tuple[Table, int]:
    """The 64-bit end record, which must repeat what the short one could hold."""
    _, disk, offset, disks = LOCATOR.unpack(locator)
    if disk or disks > 1:
        raise Damaged(source.path, "the zip archive is one part of several")
    if offset + END64.size > end:
        raise Damaged(source.path, f"the 64-bit zip end record cannot lie at offset {offset}")
    values = END64.unpack(source.read(offset, END64.size))
    magic, rest, _, _, disk, first, here, count, size, start = values
    if magic != b"PK\6\6" or rest + 12 != end - offset:
        raise Damaged(source.path, "the 64-bit zip end record is not where its locator says")
    if disk or first or here != count:
        raise Damaged(source.path, "the zip archive is one part of several")
    pairs = ((short.count, count, MAX16), (short.size, size, MAX32), (short.offset, start, MAX32))
    if any(a not in (b, limit) for a, b, limit in pairs):
        raise Damaged(source.path, "the two zip end records contradict each other")
    return Table(start, size, count), offset


def _why_endless(source: Readable) -> str:
    """Why there is no end record: the commonest accidents have marks of their own."""
    head = source.read(0, min(source.size, 4096))
    if head.startswith(b"PK\3\4") and b"\xef\xbf\xbd" in head:
        return "was treated as text on its way: its bytes above 127 have been replaced"
    if head.startswith(b"PK\3\4") and len(head) > 256 and max(head) < 0x80:
        return "was treated as text on its way: its bytes above 127 are missing"
    return "the end of the zip archive is missing: the file is incomplete"


def _entries(source: Readable, table: Table) -> list[Entry]:
    data = source.read(table.offset, table.size)
    entries: list[Entry] = []
    at = 0
    for number in range(table.count):
        if at + CENTRAL.size > len(data) or data[at : at + 4] != b"PK\1\2":
            raise Damaged(
                source.path,
                f"entry {number} of {table.count} of the zip directory, at offset "
                f"{table.offset + at}, is not an entry",
            )
        fields = CENTRAL.unpack_from(data, at)
        flags, method, crc, packed, size = *fields[3:5], *fields[7:10]
        after_name = at + CENTRAL.size + fields[10]
        after_extra = after_name + fields[11]
        end = after_extra + fields[12]
        if end > len(data):
            raise Damaged(source.path, f"entry {number} runs past the end of the zip directory")
        name = data[at + CENTRAL.size : after_name]
        disk, header = fields[13], fields[16]
        if MAX32 in (packed, size, header) or disk == MAX16:
            claims = (size, packed, header, disk)
            extra = data[after_name:after_extra]
            size, packed, header, disk = _widened(source, claims, extra, number)
        if disk:
            raise Damaged(source.path, "the zip archive is one part of several")
        text = name.decode("utf-8" if flags & UTF8_NAME else "cp437", "backslashreplace")
        entries.append(Entry(text, name, flags, method, crc, packed, size, header))
        at = end
    if at != len(data):
        raise Damaged(source.path, f"{len(data) - at} bytes of the zip directory are no entry")
    return entries


def _widened(
    source: Readable, claims: tuple[int, int, int, int], extra: bytes, number: int
) -> tuple[int, int, int, int]:
    """Size, packed size, header offset, disk, with the 64-bit values where they are needed."""
    wide = extra_field(extra, ZIP64)
    values: list[int] = []
    at = 0
    for claim, width in zip(claims, (8, 8, 8, 4), strict=True):
        if claim != (MAX32 if width == 8 else MAX16):
            values.append(claim)
            continue
        if wide is None or at + width > len(wide):
            raise Damaged(source.path, f"entry {number} of the zip directory lacks a 64-bit size")
        values.append(int.from_bytes(wide[at : at + width], "little"))
        at += width
    size, packed, header, disk = values
    return size, packed, header, disk


def extra_field(extra: bytes, tag: int) -> bytes | None:
    """The first extra field with this tag; None where there is none."""
    at = 0
    while at + 4 <= len(extra):
        found, size = extra[at] | extra[at + 1] << 8, extra[at + 2] | extra[at + 3] << 8
        if found == tag and at + 4 + size <= len(extra):
            return extra[at + 4 : at + 4 + size]
        at += 4 + size
    return None
