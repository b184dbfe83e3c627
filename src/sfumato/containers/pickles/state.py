"""What the pickle machine holds while it walks one stream: stack, memo, bounds and evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from typing import NoReturn

from sfumato.containers.journal import Event, Journal, Kind, Risk
from sfumato.containers.limits import Limits
from sfumato.containers.pickles.risks import Kin, kin
from sfumato.containers.pickles.show import show_arguments
from sfumato.containers.pickles.values import Global, Value
from sfumato.containers.text import escape
from sfumato.errors import Damaged

DETAILED_EVENTS = 10_000
"""events after which only what is not allowed is kept, and of that only what is new"""

MOST_EVENTS = 30_000
"""events after which a file is given up as damaged"""

ROOM, ROOM_PER_BYTE = 64 << 20, 6
"""bytes that emulated calls may copy: so many, and so many more for each byte of the stream"""

Hook = Callable[[Value], Value]
Opener = Callable[[bytes, str], Value]


class EndsEarly(Damaged):
    """The stream asks for bytes after the end of what was given: more of the file may help."""


class Stopped(Exception):
    """STOP was reached; holds the offset after it."""

    def __init__(self, end: int) -> None:
        self.end = end
        super().__init__()


@dataclass(slots=True, eq=False)
class Machine:
    """The state of one run."""

    data: bytes
    path: str | PathLike[str]
    where: str
    journal: Journal
    limits: Limits
    start: int
    size: int
    """offset after the last byte that may be read"""
    end: int
    """offset after the last byte of the frame; `size` outside frames"""
    persistent: Hook | None = None
    nested: Opener | None = None
    framed: bool = False
    stack: list[Value] = field(default_factory=list[Value])
    """what lies above the topmost mark"""
    marks: list[list[Value]] = field(default_factory=list[list[Value]])
    """what lies below each mark"""
    below: int = 0
    """values in `marks`"""
    memo: dict[int, Value] = field(default_factory=dict[int, Value])
    made: int = 0
    """containers and records made so far"""
    globals: dict[tuple[str, str], Global] = field(default_factory=dict[tuple[str, str], Global])
    kins: dict[Global, Kin] = field(default_factory=dict[Global, Kin])
    suspects: list[tuple[int, bytes | str]] = field(default_factory=list[tuple[int, bytes | str]])
    """literals that look like pickles, with the offset of their opcode"""
    postponed: str = ""
    """the first thing wrong that did not keep the walk from going on"""
    unread: str = ""
    """the first thing that is sound and not read"""
    names: set[tuple[Kind, str, Risk]] = field(default_factory=set[tuple[Kind, str, Risk]])

    def fault(self, at: int, reason: str) -> Damaged:
        """The error that ends the walk: `reason` happened in the opcode at offset `at`."""
        message = f"{escape(self.where)}: {reason} (offset {at})"
        return Damaged(self.path, message, journal=self.journal)

    def postpone(self, at: int, reason: str) -> None:
        """Note an error that other programs would not stop at, so that all of it is seen."""
        if not self.postponed:
            self.postponed = f"{escape(self.where)}: {reason} (offset {at})"

    def leave_unread(self, at: int, reason: str) -> None:
        """Note something that is known and not read."""
        if not self.unread:
            self.unread = f"{escape(self.where)}: {reason} (offset {at})"

    def kin(self, token: Global) -> Kin:
        """What is known of a name."""
        known = self.kins.get(token)
        if known is None:
            known = self.kins[token] = kin(token)
        return known

    def log(
        self, at: int, kind: Kind, name: str, risk: Risk, arguments: tuple[Value, ...] = ()
    ) -> None:
        """Add an event to the journal; repetitions are dropped once there are very many."""
        many = len(self.journal.events) > DETAILED_EVENTS
        if risk == "allowed":
            if not many:
                self.journal.add(Event(kind, escape(name), risk, at, self.where))
            return
        shown = escape(name)
        if many:
            if (kind, shown, risk) in self.names:
                return
            if len(self.journal.events) > MOST_EVENTS:
                raise self.fault(at, f"would do more than {MOST_EVENTS} different things")
            self.names.add((kind, shown, risk))
        text = "" if many else show_arguments(arguments)
        self.journal.add(Event(kind, shown, risk, at, self.where, text))

    def note(self, at: int, text: str) -> None:
        """Add something worth knowing that is not a deed."""
        if len(self.journal.events) <= MOST_EVENTS:
            self.journal.add(Event("note", text, "inert", at, self.where))

    def spend(self, at: int, size: int) -> None:
        """Pay for `size` bytes that a call copies."""
        self.journal.room -= size
        if self.journal.room < 0:
            raise self.fault(at, "copies its values again and again until the memory is full")

    def pop_mark(self) -> list[Value]:
        """Everything above the topmost mark, which goes; IndexError where there is none."""
        items = self.stack
        self.stack = self.marks.pop()
        self.below -= len(self.stack)
        return items

    def check(self, at: int, opcodes: int) -> None:
        """Hold the limits; called every few thousand opcodes, with how many there were."""
        self.journal.steps += opcodes
        limits = self.limits
        counts = (
            (self.journal.steps, limits.pickle_opcodes, "opcodes"),
            (self.below + len(self.marks) + len(self.stack), limits.pickle_stack, "stacked values"),
            (len(self.memo), limits.pickle_memo, "memo entries"),
            (self.made, limits.nodes, "containers"),
        )
        for count, limit, title in counts:
            if count > limit:
                raise self.fault(at, f"has more than {limit} {title}")

    def boundary(self, at: int, position: int, name: str) -> None:
        """Leave a frame that ends here; raise where an opcode needs more than there is."""
        if self.framed:
            if position > self.end:
                raise self.fault(at, f"{name} crosses the end of its frame at {self.end}")
            self.framed = False
            self.end = self.size
        if position >= self.size:
            self.run_out(at, position, name)

    def run_out(self, at: int, position: int, name: str) -> NoReturn:
        """The stream ends where an opcode or an operand should follow."""
        if self.size < len(self.data):
            raise self.fault(at, f"is longer than {self.limits.pickle_bytes} bytes")
        if position == self.size:
            reason = f"ends without STOP after {self.size - self.start} bytes"
        else:
            reason = f"{name} at offset {at} needs {position - self.size} bytes more than there are"
        raise EndsEarly(self.path, f"{escape(self.where)}: {reason}", journal=self.journal)
