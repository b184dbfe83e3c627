"""A tiny pickle assembler: functions that give the bytes of opcodes, honest or not."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable

from sfumato.containers.dtype import F32
from sfumato.containers.journal import Journal
from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.pickles.machine import run
from sfumato.containers.pickles.values import StorageRef, Value
from sfumato.errors import BadFile

STOP = b"."
MARK = b"("
POP = b"0"
NONE = b"N"
TUPLE, TUPLE1, TUPLE2, TUPLE3, EMPTY_TUPLE = b"t", b"\x85", b"\x86", b"\x87", b")"
LIST, EMPTY_LIST, APPEND, APPENDS = b"l", b"]", b"a", b"e"
DICT, EMPTY_DICT, SETITEM, SETITEMS = b"d", b"}", b"s", b"u"
EMPTY_SET, ADDITEMS, FROZENSET = b"\x8f", b"\x90", b"\x91"
REDUCE, NEWOBJ, NEWOBJ_EX, OBJ, BUILD = b"R", b"\x81", b"\x92", b"o", b"b"
STACK_GLOBAL, MEMOIZE, BINPERSID = b"\x93", b"\x94", b"Q"
NEXT_BUFFER, READONLY_BUFFER = b"\x97", b"\x98"


def proto(number: int) -> bytes:
    """PROTO."""
    return b"\x80" + bytes((number,))


def frame(size: int) -> bytes:
    """FRAME, with whatever size."""
    return b"\x95" + struct.pack("<Q", size)


def framed(body: bytes) -> bytes:
    """A frame around `body`."""
    return frame(len(body)) + body


def global_(module: str, name: str) -> bytes:
    """GLOBAL."""
    return f"c{module}\n{name}\n".encode()


def inst(module: str, name: str) -> bytes:
    """INST."""
    return f"i{module}\n{name}\n".encode()


def short(text: str) -> bytes:
    """SHORT_BINUNICODE."""
    raw = text.encode()
    return b"\x8c" + bytes((len(raw),)) + raw


def text(value: str) -> bytes:
    """BINUNICODE."""
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def string(value: str) -> bytes:
    """STRING, in quotes."""
    return f"S'{value}'\n".encode()


def data(value: bytes) -> bytes:
    """BINBYTES."""
    return b"B" + struct.pack("<I", len(value)) + value


def number(value: int) -> bytes:
    """BININT."""
    return b"J" + struct.pack("<i", value)


def stack_global(module: str, name: str) -> bytes:
    """STACK_GLOBAL of two literals."""
    return short(module) + short(name) + STACK_GLOBAL


def put(index: int) -> bytes:
    """BINPUT."""
    return b"q" + bytes((index,))


def get(index: int) -> bytes:
    """BINGET."""
    return b"h" + bytes((index,))


def long_put(index: int) -> bytes:
    """LONG_BINPUT."""
    return b"r" + struct.pack("<I", index)


def call(function: bytes, *arguments: bytes) -> bytes:
    """REDUCE of a function that lies on the stack."""
    return function + MARK + b"".join(arguments) + TUPLE + REDUCE


def pickle(*parts: bytes) -> bytes:
    """Protocol 2 around opcodes."""
    return proto(2) + b"".join(parts) + STOP


def pickle4(*parts: bytes) -> bytes:
    """Protocol 4 around opcodes, without frames."""
    return proto(4) + b"".join(parts) + STOP


SYSTEM = call(global_("os", "system"), string("id"))
TENSOR_PID = call(
    global_("torch._utils", "_rebuild_tensor_v2"),
    MARK, text("storage"), global_("torch", "FloatStorage"), text("0"),
    text("cpu"), number(4), TUPLE, BINPERSID,
    number(0), number(4), TUPLE1, number(1), TUPLE1, b"\x89", NONE,
)  # fmt: skip
"""a tensor of four numbers, for a hook that knows its storage"""


def walk(
    stream: bytes,
    *,
    persistent: Callable[[Value], Value] | None = None,
    nested: Callable[[bytes, str], Value] | None = None,
    limits: Limits = DEFAULT,
) -> tuple[Value, Journal]:
    """Run one stream through the machine; its value and its journal."""
    journal = Journal()
    value, _ = run(
        stream,
        path="toy.pkl",
        where="toy",
        journal=journal,
        persistent=persistent,
        nested=nested,
        limits=limits,
    )
    return value, journal


def refused(stream: bytes, persistent: Callable[[Value], Value] | None = None) -> list[str]:
    """Names that are refused in the stream, whether it is damaged or not."""
    journal = Journal()
    with contextlib.suppress(BadFile):
        run(stream, path="toy.pkl", where="toy", journal=journal, persistent=persistent)
    return journal.names("refused")


def storage(pid: Value) -> StorageRef:
    """A persistent hook that believes everything."""
    assert isinstance(pid, tuple)
    return StorageRef(pid[2], F32, pid[3], pid[4], "toy")
