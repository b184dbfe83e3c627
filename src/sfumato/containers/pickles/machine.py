"""The pickle machine: executes one stream of opcodes into values, and keeps a journal."""

from __future__ import annotations

import re
from dataclasses import replace
from os import PathLike
from typing import NoReturn

from sfumato.containers.journal import Journal
from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.pickles import embedded
from sfumato.containers.pickles.nesting import nesting_fault
from sfumato.containers.pickles.opcodes import STEPS, name
from sfumato.containers.pickles.state import (
    ROOM,
    ROOM_PER_BYTE,
    EndsEarly,
    Hook,
    Machine,
    Opener,
    Stopped,
)
from sfumato.containers.pickles.values import Value
from sfumato.containers.text import escape
from sfumato.errors import BadFile, Damaged, Unsupported

__all__ = ["EndsEarly", "after_blanks", "run"]

NOT_BLANK = re.compile(rb"[^ \t\r\n\0]")

SLICE = 4096
"""opcodes between two looks at the limits"""

OVERHEAD = 512
"""opcodes that beginning a stream is reckoned as; a file may consist of streams of one opcode"""

PEEKED, ALL_PEEKED = 100_000, 5_000_000
"""opcodes walked of a pickle inside a literal, and of all of them in one file"""

DEEPEST_EMBEDDED = 2
"""pickles inside literals inside pickles that are looked at"""


def run(
    data: bytes | memoryview,
    *,
    path: str | PathLike[str],
    where: str,
    journal: Journal,
    limits: Limits = DEFAULT,
    persistent: Hook | None = None,
    nested: Opener | None = None,
    start: int = 0,
) -> tuple[Value, int]:
    """Execute the pickle that begins at `start`; its value, and the offset after its STOP.

    `persistent` turns a persistent id (`("storage", Global, key, location, numel)` …) into a value;
    it may raise Damaged. `nested` opens the torch file inside bytes (`_load_from_bytes`); it gets
    the bytes and `where`, and must end its own nesting. Nothing is imported or called: what would
    have been is in `journal`, and whoever walks the whole file decides by `journal.dangerous`.

    Raises Damaged, with the journal, on a malformed stream; EndsEarly where it is only too short.
    What other programs would not stop at (a tuple as a key, an argument of the wrong type) is
    raised when the whole stream was walked, so that nothing after it goes unseen; then also
    Unsupported, for numpy arrays of Python objects.
    """
    size = min(len(data), start + limits.pickle_bytes)
    if journal.room < 0:
        journal.room = ROOM + ROOM_PER_BYTE * max(size - start, 0)
    m = Machine(
        data=data if isinstance(data, bytes) else bytes(data),
        path=path, where=escape(where, limits.name_bytes), journal=journal, limits=limits,
        start=start, size=size, end=size,
        persistent=persistent, nested=nested,
    )  # fmt: skip
    return _finish(m, 0)


def after_blanks(data: bytes, start: int) -> int:
    """Where the next pickle may begin: line ends after STOP have blinded scanners."""
    found = NOT_BLANK.search(data, start)
    return found.start() if found else len(data)


def _finish(m: Machine, depth: int) -> tuple[Value, int]:
    """Walk the stream, then look at what can only be seen at its end."""
    try:
        end = _walk(m)
    finally:
        _look_inside(m, depth)
    value = m.stack[-1]
    if len(m.stack) > 1 or m.marks:
        left = len(m.stack) + m.below - 1
        m.note(end - 1, f"leaves {left} values on the stack")
    if m.unread:
        raise Unsupported(m.path, m.unread, journal=m.journal)
    if m.postponed:
        raise Damaged(m.path, m.postponed, journal=m.journal)
    fault = nesting_fault(value, m.limits.nesting)
    if fault:
        raise m.fault(end - 1, fault)
    return value, end


def _walk(m: Machine) -> int:
    """Execute opcode after opcode; the offset after STOP."""
    data, steps, position, at = m.data, STEPS, m.start, m.start
    m.check(at, OVERHEAD)
    try:
        while True:
            for _ in range(SLICE):
                if position >= m.end:
                    m.boundary(at, position, name(data[at]) if at < len(data) else "")
                at = position
                position = steps[data[at]](m, at + 1)
            m.check(at, SLICE)
    except Stopped as stopped:
        return stopped.end
    except IndexError:
        _short(m, at)


def _short(m: Machine, at: int) -> NoReturn:
    """Either the operand's one byte or the values an opcode takes were not there."""
    if at + 1 >= m.end:
        m.boundary(at, at + 2, name(m.data[at]))
    raise m.fault(at, f"{name(m.data[at])} finds too few values on the stack") from None


def _look_inside(m: Machine, depth: int) -> None:
    """Note literals that are pickles themselves, and what they would do if something ran them."""
    if depth >= DEEPEST_EMBEDDED:
        return
    for at, literal in m.suspects:
        data = embedded.stream(literal)
        if data is None or m.journal.peeked > ALL_PEEKED:
            continue
        inner = Journal(room=ROOM)
        complete = _peek(m, data, inner, depth + 1)
        m.journal.peeked += inner.steps + inner.peeked
        names = inner.names("refused") or inner.names()
        if names:
            m.note(at, f"holds a pickle that would use {escape(', '.join(names[:8]))}")
        elif complete:
            m.note(at, "holds a pickle")
        for event in inner:
            if event.kind == "note":
                m.note(at, f"holds a pickle that {event.name}")


def _peek(m: Machine, data: bytes, journal: Journal, depth: int) -> bool:
    """Walk an embedded stream for its journal alone; True where it ends as a pickle should."""
    limits = replace(m.limits, pickle_opcodes=PEEKED)
    size = len(data)
    inner = Machine(
        data=data, path=m.path, where=m.where, journal=journal, limits=limits, start=0,
        size=size, end=size, persistent=lambda _: None,
    )  # fmt: skip
    try:
        _finish(inner, depth)
    except BadFile:
        return False
    return True
