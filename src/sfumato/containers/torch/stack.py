"""The legacy torch format: five pickles after each other, then the storages."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from sfumato.containers.journal import Journal
from sfumato.containers.pickles.machine import EndsEarly, run
from sfumato.containers.pickles.values import StorageRef, Value
from sfumato.containers.text import escape
from sfumato.containers.torch.readable import Readable, Span
from sfumato.containers.torch.storage import Claim, Storage, Storages, read_claim, text
from sfumato.containers.torch.zip_pickle import Nested

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
LITERAL_MAGIC = re.compile(
    rb"\x80[\x02-\x05](\x95.{8})?\x8a\x0a" + re.escape(MAGIC.to_bytes(10, "little")) + rb"(\x94)?\."
    rb"|L" + str(MAGIC).encode() + rb"L?\n\.",
    re.DOTALL,
)
"""the first pickle as every program writes it, in all protocols"""

WINDOW, GROWTH = 1 << 20, 8
"""how much of the file is taken for the pickles at first, and how much more if they do not end"""


def starts_stacked(head: bytes) -> bool:
    """True where these first bytes of a file are the magic number of the legacy format."""
    return LITERAL_MAGIC.match(head) is not None


@dataclass(slots=True)
class PickleStream:
    """Pickles that lie in a larger file, of which only as much is read as they need."""

    source: Readable
    storages: Storages
    nested: Nested
    _data: bytes = b""
    _start: int = 0

    def run(
        self, offset: int, where: str, persistent: Callable[[Value], Value] | None = None
    ) -> tuple[Value, int]:
        """Walk the pickle at `offset` of the file; returns its value and where it ends."""
        limits = self.storages.limits
        if offset >= self.source.size:
            raise self.storages.damaged(f"ends before {where}")
        if not self._start <= offset < self._start + len(self._data):
            self._load(offset, WINDOW)
        while True:
            journal = Journal()
            try:
                value, end = run(
                    self._data,
                    path=self.source.path,
                    where=where,
                    journal=journal,
                    limits=limits,
                    persistent=persistent,
                    nested=self.nested,
                    start=offset - self._start,
                )
            except EndsEarly as error:
                size = max(len(self._data) * GROWTH, WINDOW)
                whole = self._start + len(self._data) >= self.source.size
                if whole or len(self._data) >= limits.pickle_bytes:
                    self.storages.journal.events.extend(journal)
                    error.journal = self.storages.journal
                    raise
                self._load(offset, min(size, limits.pickle_bytes))
                continue
            self.storages.journal.events.extend(journal)
            return value, self._start + end

    def _load(self, offset: int, size: int) -> None:
        self._start = offset
        self._data = self.source.read(offset, min(size, self.source.size - offset))


@dataclass(slots=True)
class _Stack:
    """What the fourth pickle says of storages whose place only the end of the file tells."""

    storages: Storages
    where: str
    items: dict[str, int] = field(default_factory=dict[str, int])
    """key → bytes of one element"""
    views: dict[str, list[Storage]] = field(default_factory=dict[str, list[Storage]])
    """key of a root storage → the old views of it"""

    def refer(self, pid: Value) -> Value:
        """What the pickle gets for a persistent id."""
        if isinstance(pid, tuple) and len(pid) == 4 and text(pid[0]) == "module":
            return pid[1]
        claim = read_claim(pid, self.storages.limits)
        if isinstance(claim, str):
            self.storages.fault(claim)
            return StorageRef("", None, "", 0, self.where)
        storage = Storage(
            claim.key, claim.elements.dtype, claim.nbytes, quantised=claim.elements.quantised
        )
        self.storages.add(self.where, claim, storage)
        self.items[claim.key] = claim.elements.item
        if claim.view is None:
            return self.storages.reference(self.where, claim)
        return self._view(claim)

    def _view(self, claim: Claim) -> StorageRef:
        """A slice of a root storage that has a key of its own (before torch 0.4)."""
        view = claim.view
        if not isinstance(view, tuple) or len(view) != 3 or not text(view[0]):
            self.storages.fault(f"the storage {escape(claim.key)} has a view that is none")
            return self.storages.reference(self.where, claim)
        _, offset, numel = view
        if type(offset) is not int or type(numel) is not int or offset < 0 or numel < 0:
            offset, numel = claim.numel, 1
        if offset + numel > claim.numel:
            self.storages.fault(f"a view reaches beyond the storage {escape(claim.key)}")
            offset, numel = 0, 0
        key = f"{claim.key} view {text(view[0])}"
        slice_ = Claim(key, claim.location, numel, claim.elements)
        storage = Storage(
            claim.key, claim.elements.dtype, slice_.nbytes, quantised=claim.elements.quantised
        )
        storage.start = offset * claim.elements.item
        if (self.where, key) not in self.storages.table:
            self.views.setdefault(claim.key, []).append(storage)
        self.storages.add(self.where, slice_, storage)
        return self.storages.reference(self.where, slice_)


def walk_stack(source: Readable, storages: Storages, inside: str, nested: Nested) -> Value:
    """The value in the fourth pickle of a legacy file; its storages are registered and placed."""
    stream = PickleStream(source, storages, nested)
    end = _check_preamble(stream, inside)
    where = f"{inside}pickle 4 of 5"
    stack = _Stack(storages, where)
    value, end = stream.run(end, where, stack.refer)
    keys, end = stream.run(end, f"{inside}pickle 5 of 5")
    storages.settle()
    end = _place(source, stack, _keys(keys, stack), end)
    if end < source.size:
        storages.notes.append(f"{source.size - end} bytes follow the last storage")
    return value


def _check_preamble(stream: PickleStream, inside: str) -> int:
    """Where the fourth pickle begins; the first three must be what every writer writes."""
    storages = stream.storages
    before = len(storages.journal)
    magic, end = stream.run(0, f"{inside}pickle 1 of 5")
    if type(magic) is not int or magic != MAGIC or len(storages.journal) != before:
        raise storages.damaged("does not begin with the magic number of a legacy torch file")
    protocol, end = stream.run(end, f"{inside}pickle 2 of 5")
    if type(protocol) is not int or protocol != PROTOCOL:
        raise storages.damaged(f"has another version of the legacy format than {PROTOCOL}")
    system, end = stream.run(end, f"{inside}pickle 3 of 5")
    if not isinstance(system, dict):
        raise storages.damaged("does not describe the system it was written on")
    return end


def _keys(value: Value, stack: _Stack) -> list[str]:
    """The keys in the order of the storages; they must be exactly those that tensors use."""
    storages = stack.storages
    if not isinstance(value, list) or not all(text(key) for key in value):
        raise storages.damaged("the fifth pickle is not a list of storage keys")
    keys = [text(key) for key in value]
    if len(set(keys)) != len(keys):
        raise storages.damaged("lists a storage twice")
    missing = stack.items.keys() - set(keys)
    if missing:
        raise storages.damaged(f"the storage {escape(min(missing))} is used and not there")
    unused = set(keys) - stack.items.keys()
    if unused:
        raise storages.damaged(f"the storage {escape(min(unused))} is there and not used")
    return keys


def _place(source: Readable, stack: _Stack, keys: list[str], at: int) -> int:
    """Find the bytes of each storage behind its count; returns where the last one ends."""
    storages = stack.storages
    for number, key in enumerate(keys):
        storage = storages.table[(stack.where, key)]
        if at + 8 + storage.nbytes > source.size:
            raise storages.damaged(
                f"is incomplete: ends in storage {number + 1} of {len(keys)}, "
                f"{at + 8 + storage.nbytes - source.size} bytes too early"
            )
        count = int.from_bytes(source.read(at, 8), "little", signed=True)
        if count * stack.items[key] != storage.nbytes:
            raise storages.damaged(
                f"the storage {escape(key)} has {count} elements, and the pickle says "
                f"{storage.nbytes // stack.items[key]}"
            )
        for placed in (storage, *stack.views.get(key, ())):
            placed.region = Span(source, at + 8, storage.nbytes)
        at += 8 + storage.nbytes
    return at
