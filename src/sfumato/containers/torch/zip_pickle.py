"""The pickle inside a torch zip archive, with the members that hold its storages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sfumato.containers.pickles.machine import run
from sfumato.containers.pickles.values import StorageRef, Value
from sfumato.containers.sizes import human
from sfumato.containers.text import escape
from sfumato.containers.torch.archive import DEFLATED, STORED, Archive, read_archive
from sfumato.containers.torch.directory import Entry
from sfumato.containers.torch.other_zips import name_zip
from sfumato.containers.torch.readable import Readable
from sfumato.containers.torch.storage import Storage, Storages, read_claim
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
    data = archive.read(entry, storages.limits.pickle_bytes)
    where = inside + entry.name
    refer = partial(_refer, storages, archive, root, where, _big_endian(archive, root))
    value, end = run(
        data,
        path=source.path,
        where=where,
        journal=storages.journal,
        limits=storages.limits,
        persistent=refer,
        nested=nested,
    )
    if end < len(data):
        storages.notes.append(f"{len(data) - end} bytes follow the pickle in {escape(entry.name)}")
        _scan(data, end, storages, where, nested)
    storages.settle()
    storages.notes.extend(archive.notes)
    _note_unused(archive, storages, where, root)
    return value


def _refer(
    storages: Storages, archive: Archive, root: str, where: str, swapped: bool, pid: Value
) -> StorageRef:
    """What the pickle gets for a persistent id, once the archive has what it claims."""
    claim = read_claim(pid, storages.limits)
    if isinstance(claim, str):
        storages.fault(claim)
        return StorageRef("", None, "", 0, where)
    known = storages.table.get((where, claim.key))
    entry = archive.members.get(f"{root}data/{claim.key}")
    if entry is None:
        storages.fault(f"the member data/{escape(claim.key)} is missing from the archive")
    elif entry.size != claim.nbytes:
        storages.fault(
            f"the member data/{escape(claim.key)} has {entry.size} bytes, and its storage of "
            f"{claim.numel} elements needs {claim.nbytes}"
        )
    elif known is None or known.dtype is not claim.dtype:
        name = f"{where.removesuffix(entry.name)}{entry.name}"
        region = archive.region(entry)
        storage = Storage(name, claim.dtype, claim.nbytes, region, swapped=swapped)
        storage.quantised = claim.quantised
        storages.add(where, claim, storage)
    return storages.reference(where, claim)


def _misfit(archive: Archive) -> BadFile | None:
    """Why an archive that is sound is not a torch file."""
    path = archive.source.path
    names = [entry.name for entry in archive.entries]
    other = name_zip(path, names)
    if other is not None:
        return other
    pickles = [name for name in names if name.split("/")[-1].lower() == PICKLE]
    if len(pickles) > 1:
        return Damaged(path, f"holds {len(pickles)} pickles that each could be the model")
    root = pickles[0].removesuffix(PICKLE)
    if root.count("/") > 1 or root == pickles[0]:
        return Damaged(path, f"keeps its pickle in {escape(pickles[0])}, where torch does not look")
    strange = [entry for entry in archive.entries if not _belongs(entry, root)]
    if strange:
        return Damaged(path, f"holds the member {escape(strange[0].name)}, which no torch file has")
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


def _note_unused(archive: Archive, storages: Storages, where: str, root: str) -> None:
    prefix = f"{root}data/"
    unused = [
        entry.size
        for name, entry in archive.members.items()
        if name.startswith(prefix) and (where, name[len(prefix) :]) not in storages.table
    ]
    if sum(unused):
        storages.notes.append(f"{human(sum(unused))} of storages are not used by any tensor")


def _collect_evidence(archive: Archive, storages: Storages, inside: str, nested: Nested) -> None:
    """Walk every pickle of an archive that is refused, for what it would have executed."""
    readable = [
        entry
        for entry in archive.entries
        if entry.data >= 0
        and entry.method in (STORED, DEFLATED)
        and entry.size <= storages.limits.pickle_bytes
        and entry.data + entry.packed <= archive.source.size
    ]
    for entry in readable[:MOST_SCANNED]:
        try:
            region = archive.region(entry)
            head = region.read(0, min(2, entry.size))
            named = entry.name.lower().endswith((".pkl", ".pickle"))
            if named or (head[:1] == b"\x80" and head[1:] in (b"\2", b"\3", b"\4", b"\5")):
                data = region.read(0, entry.size)
                _scan(data, 0, storages, inside + entry.name, nested)
        except BadFile:
            continue


def _scan(data: bytes, start: int, storages: Storages, where: str, nested: Nested) -> None:
    """Add what further pickles in `data` would do to the journal; their values are dropped."""
    while start < len(data):
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
            return
