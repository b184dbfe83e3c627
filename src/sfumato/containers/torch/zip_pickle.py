"""The pickle inside a torch zip archive, with the members that hold its storages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sfumato.containers.limits import Limits
from sfumato.containers.pickles.machine import after_blanks, run
from sfumato.containers.pickles.values import StorageRef, Value
from sfumato.containers.sizes import human
from sfumato.containers.text import escape
from sfumato.containers.torch.archive import DEFLATED, STORED, Archive, read_archive
from sfumato.containers.torch.directory import Entry
from sfumato.containers.torch.other_zips import name_zip
from sfumato.containers.torch.readable import Readable
from sfumato.containers.torch.storage import Claim, Storage, Storages, read_claim
from sfumato.errors import BadFile, Damaged

PICKLE = "data.pkl"
BESIDE = {
    "version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id",
}  # fmt: skip
"""members that say how the archive was written; everything else is `data/` and a key"""

Nested = Callable[[bytes, str], Value]
"""reads a torch file that lay inside a pickle; takes its bytes and the place it was found"""

MOST_SCANNED = 1000
"""members of a refused archive that are looked at for evidence"""


@dataclass(frozen=True, slots=True)
class _Members:
    """The members of one archive that hold storages, as its pickle refers to them."""

    storages: Storages
    archive: Archive
    where: str
    """what the pickle is called in the journal"""
    prefix: str
    """what the name of every such member begins with"""
    inside: str
    """the place of an archive that is itself inside a pickle; empty for a file"""
    swapped: bool
    """True where the numbers are big-endian"""

    def refer(self, pid: Value) -> StorageRef:
        """What the pickle gets for a persistent id, once the archive has what it claims."""
        storages, where = self.storages, self.where
        claim = read_claim(pid, storages.limits)
        if isinstance(claim, str):
            storages.fault(claim)
            return StorageRef("", None, "", 0, where)
        known = storages.table.get((where, claim.key))
        entry = self.archive.members.get(self.prefix + claim.key)
        if entry is None:
            storages.fault(f"the member data/{escape(claim.key)} is missing from the archive")
        elif entry.size != claim.nbytes:
            storages.fault(
                f"the member data/{escape(claim.key)} has {entry.size} bytes, and its storage of "
                f"{claim.numel} elements needs {claim.nbytes}"
            )
        elif known is None or known.dtype is not claim.elements.dtype:
            storages.add(where, claim, self._storage(claim, entry))
        return storages.reference(where, claim)

    def _storage(self, claim: Claim, entry: Entry) -> Storage:
        return Storage(
            self.inside + entry.name,
            claim.elements.dtype,
            claim.nbytes,
            self.archive.region(entry),
            swapped=self.swapped,
            quantised=claim.elements.quantised,
        )

    def note_unused(self) -> None:
        """Say how much of the archive no tensor uses."""
        prefix, where, table = self.prefix, self.where, self.storages.table
        unused = sum(
            entry.size
            for name, entry in self.archive.members.items()
            if name.startswith(prefix) and (where, name[len(prefix) :]) not in table
        )
        if unused:
            self.storages.note(f"{human(unused)} of storages are not used by any tensor")


def walk_zip(source: Readable, storages: Storages, inside: str, nested: Nested) -> Value:
    """The value pickled in the archive; its storages are registered, and nothing else is read.

    `inside` names the place of an archive that is itself inside a pickle.
    """
    archive = read_archive(source, storages.limits)
    refusal = archive.faults[0] if archive.faults else _misfit(archive)
    if refusal is not None:
        _collect_evidence(archive, storages, inside, nested)
        refusal.journal = storages.journal
        raise refusal
    entry = next(e for e in archive.entries if e.name.split("/")[-1] == PICKLE)
    root = entry.name.removesuffix(PICKLE)
    where, swapped = inside + entry.name, _big_endian(archive, root)
    members = _Members(storages, archive, where, f"{root}data/", inside, swapped)
    _check_length(archive, entry, storages, where, nested)
    data = archive.read(entry, entry.size)
    value, end = run(
        data,
        path=source.path,
        where=where,
        journal=storages.journal,
        limits=storages.limits,
        persistent=members.refer,
        nested=nested,
    )
    if end < len(data):
        storages.note(f"{len(data) - end} bytes follow the pickle in {escape(entry.name)}")
        _scan(data, end, storages, where, nested)
    storages.settle()
    storages.notes.extend(archive.notes)
    members.note_unused()
    return value


def _check_length(
    archive: Archive, entry: Entry, storages: Storages, where: str, nested: Nested
) -> None:
    """Refuse a pickle that is too long, having seen what its beginning would execute."""
    limit = _limit(entry, storages.limits)
    if entry.size > limit:
        beginning = archive.region(entry).read(0, min(entry.size, storages.limits.packed_pickle))
        _scan(beginning, 0, storages, where, nested)
        raise storages.damaged(
            f"the member {escape(entry.name)} has {entry.size} bytes; {limit} are the limit"
        )


def _limit(entry: Entry, limits: Limits) -> int:
    """Bytes of a pickle that are read; of one that is packed fewer, since few bytes make many."""
    return limits.pickle_bytes if entry.method == STORED else limits.packed_pickle


def _misfit(archive: Archive) -> BadFile | None:
    """Why an archive that is sound is not a torch file."""
    path = archive.source.path
    names = [entry.name for entry in archive.entries]
    pickles = [name for name in names if name.lower().endswith(PICKLE)]
    pickles = [name for name in pickles if name.lower().split("/")[-1] == PICKLE]
    root = pickles[0][: -len(PICKLE)] if len(pickles) == 1 else ""
    strange = [entry.name for entry in archive.entries if not _belongs(entry, root)]
    other = name_zip(path, names) if strange or not pickles else None
    if other is not None:
        return other
    if len(pickles) > 1:
        return Damaged(path, f"holds {len(pickles)} pickles that each could be the model")
    if root.count("/") > 1 or not pickles[0].endswith(PICKLE):
        return Damaged(path, f"keeps its pickle in {escape(pickles[0])}, where torch does not look")
    if strange:
        return Damaged(path, f"holds the member {escape(strange[0])}, which no torch file has")
    return None


def _belongs(entry: Entry, root: str) -> bool:
    if not entry.name.startswith(root):
        return False
    name = entry.name[len(root) :]
    if name.endswith("/") or not name:
        return entry.size == 0 and name in ("", "data/", ".data/")
    return name == PICKLE or name in BESIDE or (name.startswith("data/") and "/" not in name[5:])


def _big_endian(archive: Archive, root: str) -> bool:
    entry = archive.members.get(f"{root}byteorder")
    if entry is None:
        return False
    order = archive.read(entry, 64)
    if order not in (b"little", b"big"):
        raise Damaged(archive.source.path, f"has the byte order {escape(repr(order))}")
    return order == b"big"


def _collect_evidence(archive: Archive, storages: Storages, inside: str, nested: Nested) -> None:
    """Walk every pickle of an archive that is refused, for what it would have executed."""
    readable = [
        entry
        for entry in archive.entries
        if entry.data >= 0
        and entry.method in (STORED, DEFLATED)
        and entry.data + entry.packed <= archive.source.size
    ]
    limits = storages.limits
    # Members may overlap here: a thousand of them may be the same bytes.
    room = archive.source.size + 4 * limits.packed_pickle
    for entry in readable[:MOST_SCANNED]:
        size = min(entry.size, _limit(entry, limits))
        room -= size
        if room < 0:
            return
        try:
            region = archive.region(entry)
            head = region.read(0, min(2, entry.size))
            named = entry.name.lower().endswith((".pkl", ".pickle"))
            if named or (head[:1] == b"\x80" and head[1:] in (b"\2", b"\3", b"\4", b"\5")):
                data = region.read(0, size)
                _scan(data, 0, storages, inside + entry.name, nested)
        except BadFile:
            continue


def _scan(data: bytes, start: int, storages: Storages, where: str, nested: Nested) -> None:
    """Add what further pickles in `data` would do to the journal; their values are dropped."""
    while (start := after_blanks(data, start)) < len(data):
        try:
            _, start = run(
                data,
                path=storages.path,
                where=where,
                journal=storages.journal,
                limits=storages.limits,
                persistent=lambda _: StorageRef("", None, "", 0, where),
                nested=nested,
                start=start,
            )
        except BadFile:
            if storages.exhausted:
                raise
            return
