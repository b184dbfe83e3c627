"""A zip archive, read only where every program would read the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct
from unicodedata import normalize
from zlib import crc32

from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.text import escape
from sfumato.containers.torch.directory import (
    MAX32,
    UTF8_NAME,
    ZIP64,
    Entry,
    extra_field,
    read_table,
)
from sfumato.containers.torch.inflate import Inflated
from sfumato.containers.torch.readable import Readable, Region, Span, Window
from sfumato.errors import BadFile, Damaged, Unsupported

LOCAL = Struct("<4s5H3L2H")
"""PK\\3\\4: version, flags, method, time, date, crc, packed, size, two lengths"""
SHORT, LONG = Struct("<3L"), Struct("<L2Q")
"""a data descriptor without its signature, in both widths"""

STORED, DEFLATED = 0, 8
DESCRIPTOR = 0x8
ENCRYPTED = 0x2041
"""encrypted, strongly encrypted, masked headers"""
PATCH = 0x20
KNOWN_FLAGS = DESCRIPTOR | UTF8_NAME | 0x6
METHODS = {1: "shrink", 6: "implode", 9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz"}

EXPANSION = 1040
"""deflate cannot make more bytes than this out of one"""
BOMB_FACTOR, BOMB_SLACK = 100, 64 << 20
"""an archive may unpack to this many times its size, and this much more"""
MOST_FAULTS = 20

HOSTILE_NAME = re.compile(r"[\x00-\x1f\x7f\\]|^/|^[A-Za-z]:|(^|/)\.{0,2}(/|$)")
"""control characters, backslashes, absolute paths, drive letters, empty and dotted components"""


@dataclass(slots=True)
class Archive:
    """The members of a zip archive, and all that is wrong with it.

    Where `faults` is not empty, the members may be looked at for evidence and must not be used.
    """

    source: Readable
    entries: list[Entry]
    """in the order of the directory"""
    faults: list[BadFile] = field(default_factory=list[BadFile])
    notes: list[str] = field(default_factory=list[str])
    members: dict[str, Entry] = field(default_factory=dict[str, Entry])

    def region(self, entry: Entry) -> Region:
        """The bytes of a member once unpacked, to be read in part."""
        if entry.method == DEFLATED:
            return Inflated(self.source, entry.data, entry.packed, entry.size)
        return Span(self.source, entry.data, entry.size)

    def read(self, entry: Entry, limit: int) -> bytes:
        """A whole member; a wrong checksum becomes a note, since torch does not look at it."""
        if entry.size > limit:
            raise Damaged(
                self.source.path,
                f"the member {escape(entry.name)} has {entry.size} bytes; {limit} are the limit",
            )
        data = self.region(entry).read(0, entry.size)
        if crc32(data) != entry.crc:
            self.notes.append(f"the checksum of the member {escape(entry.name)} does not match")
        return data


def read_archive(source: Readable, limits: Limits = DEFAULT) -> Archive:
    """The archive's members, each with the place of its bytes.

    Raises Damaged where there is no sound directory. Whatever else is wrong is kept in `faults`,
    so that what the archive would have executed can be reported before it is refused.
    """
    if source.size < 4 or source.read(0, 4) != b"PK\3\4":
        raise Damaged(source.path, "does not begin with a zip member")
    table, entries = read_table(source, limits)
    archive = Archive(source, entries)
    _check_names(archive, limits)
    _check_places(archive, table.offset)
    _check_sizes(archive)
    archive.members = {entry.name: entry for entry in entries}
    return archive


def strictly(archive: Archive) -> Archive:
    """The archive itself; raises its first fault where it has one."""
    if archive.faults:
        raise archive.faults[0]
    return archive


def wrong_checksums(source: Readable, limits: Limits = DEFAULT) -> Iterator[str]:
    """Names of members whose bytes do not match their checksum; reads the whole file."""
    archive = strictly(read_archive(source, limits))
    for entry in archive.entries:
        digest = 0
        for piece in archive.region(entry).chunks(0, entry.size):
            digest = crc32(piece, digest)
        if digest != entry.crc:
            yield entry.name


def _fault(archive: Archive, reason: str, sort: type[BadFile] = Damaged) -> None:
    if len(archive.faults) < MOST_FAULTS:
        archive.faults.append(sort(archive.source.path, reason))


def _check_names(archive: Archive, limits: Limits) -> None:
    seen: dict[str | bytes, str] = {}
    for entry in archive.entries:
        name = entry.name
        if len(name) > limits.name_bytes or HOSTILE_NAME.search(name.removesuffix("/")):
            _fault(archive, f"the zip member {escape(name)} has a name that leads elsewhere")
        # torch compares the bytes whatever their encoding; Python's zipfile the text
        folded = normalize("NFC", name).casefold()
        other, same = seen.setdefault(folded, name), seen.setdefault(entry.raw_name, name)
        other = same if other is name else other
        if other is not name:
            twins = "twice" if other == name else f"and {escape(other)}, which some take for one"
            _fault(archive, f"the zip archive holds {escape(name)} {twins}")


def _check_places(archive: Archive, end: int) -> None:
    """Find each member's bytes; they must follow each other without overlap."""
    window = Window(archive.source)
    inside = [entry for entry in archive.entries if entry.header < end]
    if len(inside) < len(archive.entries):
        _fault(archive, "a zip member is said to lie behind the directory")
    order = sorted(inside, key=lambda entry: entry.header)
    previous = unclaimed = 0
    nexts = [*(entry.header for entry in order[1:]), end][: len(order)]
    for entry, following in zip(order, nexts, strict=True):
        if entry.header < previous:
            _fault(archive, f"the zip member {escape(entry.name)} overlaps the one before it")
        unclaimed += max(0, entry.header - previous)
        reason = _local_fault(window, entry, end)
        if reason:
            _fault(archive, f"the zip member {escape(entry.name)} {reason}")
            previous = max(previous, entry.header)
            continue
        previous = entry.data + entry.packed
        if entry.flags & DESCRIPTOR and following >= previous:
            length = _descriptor_length(window, entry, min(24, following - previous))
            if not length:
                _fault(archive, f"the sizes behind the zip member {escape(entry.name)} are wrong")
            previous += length
    if order and order[0].header:
        _fault(archive, f"{order[0].header} bytes stand before the first zip member")
    unclaimed += max(0, end - previous)
    if unclaimed:
        archive.notes.append(f"{unclaimed} bytes between the zip members belong to none")


def _local_fault(window: Window, entry: Entry, end: int) -> str:
    """What the local header says otherwise than the directory; fills `entry.data` in any case.

    The name's length is the directory's guess; the header's own lengths decide where data begins.
    """
    at = entry.header
    if at + LOCAL.size > end:
        return "has no room for its header"
    head = window.read(at, LOCAL.size)
    magic, _, flags, method, _, _, crc, packed, size, name_size, extra_size = LOCAL.unpack(head)
    start = at + LOCAL.size + name_size + extra_size
    if magic != b"PK\3\4" or start + entry.packed > end:
        return "does not lie where the directory says"
    entry.data = start
    name = window.read(at + LOCAL.size, name_size + extra_size)
    if name[:name_size] != entry.raw_name:
        text = name[:name_size].decode("utf-8", "backslashreplace")
        return f"has another name in its own header: {escape(text)}"
    if flags != entry.flags or method != entry.method:
        return "has other flags in its own header"
    if packed == MAX32 or size == MAX32:
        wide = extra_field(name[name_size:], ZIP64)
        if wide is None or len(wide) < 16:
            return "lacks its 64-bit sizes"
        size, packed = int.from_bytes(wide[:8], "little"), int.from_bytes(wide[8:16], "little")
    if (crc, packed, size) == (entry.crc, entry.packed, entry.size):
        return ""
    if flags & DESCRIPTOR and not (crc or packed or size):
        return ""
    return "has other sizes or another checksum in its own header"


def _descriptor_length(window: Window, entry: Entry, room: int) -> int:
    """Bytes of the sizes that follow a streamed member; 0 where they are missing or wrong.

    The signature is optional; the sizes have 64 bits in archives that needed them.
    """
    found = window.read(entry.data + entry.packed, room)
    values = (entry.crc, entry.packed, entry.size)
    for form in (SHORT, LONG):
        if form is SHORT and max(values) > MAX32:
            continue
        for signature in (b"PK\7\b", b""):
            if found.startswith(signature + form.pack(*values)):
                return len(signature) + form.size
    return 0


def _check_sizes(archive: Archive) -> None:
    total = 0
    for entry in archive.entries:
        total += entry.size
        if entry.flags & ENCRYPTED or entry.method not in (STORED, DEFLATED):
            reason = "encrypted" if entry.flags & ENCRYPTED else f"packed with {_packing(entry)}"
            _fault(archive, f"the zip member {escape(entry.name)} is {reason}", Unsupported)
            continue
        reason = _size_fault(entry)
        if reason:
            _fault(archive, f"the zip member {escape(entry.name)} {reason}")
    if total > archive.source.size * BOMB_FACTOR + BOMB_SLACK:
        _fault(archive, f"the zip archive claims to unpack to {total} bytes")


def _packing(entry: Entry) -> str:
    return METHODS.get(entry.method, f"method {entry.method}")


def _size_fault(entry: Entry) -> str:
    if entry.flags & ~KNOWN_FLAGS:
        return f"has the unknown flags {entry.flags:#x}"
    if entry.method == STORED and entry.packed != entry.size:
        return "is stored and yet changes its size"
    if entry.size > entry.packed * EXPANSION:
        return f"claims to unpack to {entry.size} bytes"
    return ""
