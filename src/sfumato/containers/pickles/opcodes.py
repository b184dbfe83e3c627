"""Every opcode of protocols 0 to 5, and the function that stands for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from sfumato.containers.pickles import building, literals, naming
from sfumato.containers.pickles.state import Machine, Stopped

Step = Callable[[Machine, int], int]
"""takes the offset after the opcode, gives the offset after its operand"""

NEWEST_PROTOCOL = 5


def protocol(m: Machine, at: int) -> int:
    """PROTO: only at the very beginning, where writers put it."""
    number = m.data[at]
    if number > NEWEST_PROTOCOL:
        raise m.fault(at - 1, f"uses protocol {number}; {NEWEST_PROTOCOL} is the newest")
    if at - 1 != m.start:
        m.postpone(at - 1, "names its protocol in the middle")
    return at + 1


def frame(m: Machine, at: int) -> int:
    """FRAME: the next so many bytes belong together, and no opcode crosses their end."""
    start = at + 8
    if start > m.end:
        return start
    if m.framed:
        raise m.fault(at - 1, "begins a frame inside a frame")
    stop = start + int.from_bytes(m.data[at:start], "little")
    if stop > m.size:
        return stop
    m.framed, m.end = True, stop
    return start


def stop(m: Machine, at: int) -> int:
    """STOP: the one way out."""
    if not m.stack:
        raise m.fault(at - 1, "stops with nothing on the stack")
    if m.framed and at != m.end:
        raise m.fault(at - 1, f"stops before the end of its frame at {m.end}")
    raise Stopped(at)


def unknown(m: Machine, at: int) -> NoReturn:
    """A byte that is no opcode."""
    raise m.fault(at - 1, f"has the byte 0x{m.data[at - 1]:02x} where an opcode should be")


@dataclass(frozen=True, slots=True)
class Opcode:
    """One opcode."""

    code: bytes
    name: str
    step: Step


OPCODES: tuple[Opcode, ...] = (
    Opcode(b"(", "MARK", building.mark),
    Opcode(b".", "STOP", stop),
    Opcode(b"0", "POP", building.pop),
    Opcode(b"1", "POP_MARK", building.pop_to_mark),
    Opcode(b"2", "DUP", building.duplicate),
    Opcode(b"F", "FLOAT", literals.push_float),
    Opcode(b"I", "INT", literals.push_integer),
    Opcode(b"J", "BININT", literals.push_four_bytes),
    Opcode(b"K", "BININT1", literals.push_byte),
    Opcode(b"L", "LONG", literals.push_long),
    Opcode(b"M", "BININT2", literals.push_two_bytes),
    Opcode(b"N", "NONE", literals.push_none),
    Opcode(b"P", "PERSID", naming.persistent_line),
    Opcode(b"Q", "BINPERSID", naming.persistent_id),
    Opcode(b"R", "REDUCE", naming.reduce),
    Opcode(b"S", "STRING", literals.push_quoted),
    Opcode(b"T", "BINSTRING", literals.push_string),
    Opcode(b"U", "SHORT_BINSTRING", literals.push_short_string),
    Opcode(b"V", "UNICODE", literals.push_unicode_line),
    Opcode(b"X", "BINUNICODE", literals.push_unicode),
    Opcode(b"a", "APPEND", building.append),
    Opcode(b"b", "BUILD", naming.build),
    Opcode(b"c", "GLOBAL", naming.global_),
    Opcode(b"d", "DICT", building.make_dict),
    Opcode(b"}", "EMPTY_DICT", building.empty_dict),
    Opcode(b"e", "APPENDS", building.appends),
    Opcode(b"g", "GET", building.text_get),
    Opcode(b"h", "BINGET", building.get),
    Opcode(b"i", "INST", naming.instance),
    Opcode(b"j", "LONG_BINGET", building.long_get),
    Opcode(b"l", "LIST", building.make_list),
    Opcode(b"]", "EMPTY_LIST", building.empty_list),
    Opcode(b"o", "OBJ", naming.object_),
    Opcode(b"p", "PUT", building.text_put),
    Opcode(b"q", "BINPUT", building.put),
    Opcode(b"r", "LONG_BINPUT", building.long_put),
    Opcode(b"s", "SETITEM", building.set_item),
    Opcode(b"t", "TUPLE", building.make_tuple),
    Opcode(b")", "EMPTY_TUPLE", building.empty_tuple),
    Opcode(b"u", "SETITEMS", building.set_items),
    Opcode(b"G", "BINFLOAT", literals.push_double),
    Opcode(b"\x80", "PROTO", protocol),
    Opcode(b"\x81", "NEWOBJ", naming.new_object),
    Opcode(b"\x82", "EXT1", naming.extension1),
    Opcode(b"\x83", "EXT2", naming.extension2),
    Opcode(b"\x84", "EXT4", naming.extension4),
    Opcode(b"\x85", "TUPLE1", building.tuple1),
    Opcode(b"\x86", "TUPLE2", building.tuple2),
    Opcode(b"\x87", "TUPLE3", building.tuple3),
    Opcode(b"\x88", "NEWTRUE", literals.push_true),
    Opcode(b"\x89", "NEWFALSE", literals.push_false),
    Opcode(b"\x8a", "LONG1", literals.push_long1),
    Opcode(b"\x8b", "LONG4", literals.push_long4),
    Opcode(b"B", "BINBYTES", literals.push_bytes),
    Opcode(b"C", "SHORT_BINBYTES", literals.push_short_bytes),
    Opcode(b"\x8c", "SHORT_BINUNICODE", literals.push_short_unicode),
    Opcode(b"\x8d", "BINUNICODE8", literals.push_unicode8),
    Opcode(b"\x8e", "BINBYTES8", literals.push_bytes8),
    Opcode(b"\x8f", "EMPTY_SET", building.empty_set),
    Opcode(b"\x90", "ADDITEMS", building.add_items),
    Opcode(b"\x91", "FROZENSET", building.make_frozenset),
    Opcode(b"\x92", "NEWOBJ_EX", naming.new_object_ex),
    Opcode(b"\x93", "STACK_GLOBAL", naming.stack_global),
    Opcode(b"\x94", "MEMOIZE", building.memoize),
    Opcode(b"\x95", "FRAME", frame),
    Opcode(b"\x96", "BYTEARRAY8", literals.push_bytearray),
    Opcode(b"\x97", "NEXT_BUFFER", naming.next_buffer),
    Opcode(b"\x98", "READONLY_BUFFER", naming.next_buffer),
)
"""all 68 of them, in the order of the protocols that brought them"""

BY_CODE: dict[int, Opcode] = {opcode.code[0]: opcode for opcode in OPCODES}

STEPS: tuple[Step, ...] = tuple(
    BY_CODE[code].step if code in BY_CODE else unknown for code in range(256)
)
"""what to do for each byte"""


def name(code: int) -> str:
    """An opcode's name, for messages."""
    return BY_CODE[code].name if code in BY_CODE else f"0x{code:02x}"
