"""The opcodes that push a literal: numbers, text, bytes."""

from __future__ import annotations

import re
from struct import Struct

from sfumato.containers.pickles.embedded import SHORTEST_BASE64, consider, consider_text
from sfumato.containers.pickles.plain_types import (
    FLOAT,
    INTEGER,
    LONGEST_FLOAT,
    LONGEST_INTEGER,
)
from sfumato.containers.pickles.state import Machine

LONGEST_LONG = 32
"""bytes; enough for the state of a random generator"""

DOUBLE = Struct(">d")
ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
ESCAPED: dict[bytes, bytes] = {
    b"\n": b"", b"\\": b"\\", b"'": b"'", b'"': b'"', b"a": b"\a", b"b": b"\b", b"f": b"\f",
    b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v",
}  # fmt: skip


def line(m: Machine, at: int, longest: int) -> tuple[bytes, int]:
    """The operand up to a line end, and the offset after it.

    Where the stream or frame has no line end the offset lies beyond it, which the loop reports.
    """
    found = m.data.find(b"\n", at, min(m.end, at + longest + 1))
    if found < 0:
        if m.end > at + longest:
            raise m.fault(at - 1, f"has a line of more than {longest} bytes")
        return b"", m.end + 1
    return m.data[at:found], found + 1


def push_none(m: Machine, at: int) -> int:
    """NONE."""
    m.stack.append(None)
    return at


def push_true(m: Machine, at: int) -> int:
    """NEWTRUE."""
    m.stack.append(True)
    return at


def push_false(m: Machine, at: int) -> int:
    """NEWFALSE."""
    m.stack.append(False)
    return at


def push_byte(m: Machine, at: int) -> int:
    """BININT1."""
    m.stack.append(m.data[at])
    return at + 1


def push_two_bytes(m: Machine, at: int) -> int:
    """BININT2."""
    m.stack.append(int.from_bytes(m.data[at : at + 2], "little"))
    return at + 2


def push_four_bytes(m: Machine, at: int) -> int:
    """BININT."""
    m.stack.append(int.from_bytes(m.data[at : at + 4], "little", signed=True))
    return at + 4


def push_long1(m: Machine, at: int) -> int:
    """LONG1."""
    return _push_long(m, at, m.data[at], at + 1)


def push_long4(m: Machine, at: int) -> int:
    """LONG4."""
    size = int.from_bytes(m.data[at : at + 4], "little", signed=True)
    if size < 0:
        raise m.fault(at - 1, f"has a number of {size} bytes")
    return _push_long(m, at, size, at + 4)


def _push_long(m: Machine, at: int, size: int, start: int) -> int:
    stop = start + size
    if stop <= m.end:
        if size > LONGEST_LONG:
            m.postpone(at - 1, f"has a number of {size} bytes; {LONGEST_LONG} are read")
            size = 0
        m.stack.append(int.from_bytes(m.data[start : start + size], "little", signed=True))
    return stop


def push_integer(m: Machine, at: int) -> int:
    """INT: decimal digits; 00 and 01 are how protocol 0 writes truth values."""
    digits, stop = line(m, at, m.limits.name_bytes)
    if digits in (b"00", b"01"):
        m.stack.append(digits == b"01")
    elif stop <= m.end:
        m.stack.append(_integer(m, at, digits))
    return stop


def push_long(m: Machine, at: int) -> int:
    """LONG: decimal digits, and an L from Python 2."""
    digits, stop = line(m, at, m.limits.name_bytes)
    if stop <= m.end:
        m.stack.append(_integer(m, at, digits.removesuffix(b"L")))
    return stop


def _integer(m: Machine, at: int, digits: bytes) -> int:
    """Plain decimal only: loaders disagree on 0x, leading zeros and underscores."""
    text = digits.decode("latin-1")
    if INTEGER.fullmatch(text):
        return int(text)
    if len(text) > LONGEST_INTEGER and text.strip("-").isdecimal():
        m.postpone(at - 1, f"has a number of {len(text)} digits; {LONGEST_INTEGER} are read")
    else:
        m.postpone(at - 1, "has a whole number that is not written in decimal digits")
    return 0


def push_float(m: Machine, at: int) -> int:
    """FLOAT: a number as `repr` writes it."""
    digits, stop = line(m, at, LONGEST_FLOAT)
    if stop <= m.end:
        text = digits.decode("latin-1")
        if not FLOAT.fullmatch(text):
            raise m.fault(at - 1, "has a float that is not written as one")
        m.stack.append(float(text))
    return stop


def push_double(m: Machine, at: int) -> int:
    """BINFLOAT: eight bytes, big-endian."""
    stop = at + 8
    if stop <= m.end:
        m.stack.append(DOUBLE.unpack_from(m.data, at)[0])
    return stop


# ── text ──────────────────────────────────────────────────────────────────────────────────────────


def _push_text(m: Machine, at: int, start: int, stop: int) -> int:
    """Text of the bytes from `start` to `stop`; beyond the end the loop reports it."""
    if stop <= m.end:
        try:
            text = m.data[start:stop].decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise m.fault(at - 1, "has text that is not UTF-8") from None
        if stop - start >= SHORTEST_BASE64:
            consider_text(m.suspects, at - 1, text)
        m.stack.append(text)
    return stop


def push_unicode(m: Machine, at: int) -> int:
    """BINUNICODE."""
    start = at + 4
    return _push_text(m, at, start, start + int.from_bytes(m.data[at:start], "little"))


def push_short_unicode(m: Machine, at: int) -> int:
    """SHORT_BINUNICODE."""
    start = at + 1
    return _push_text(m, at, start, start + m.data[at])


def push_unicode8(m: Machine, at: int) -> int:
    """BINUNICODE8."""
    start = at + 8
    return _push_text(m, at, start, start + int.from_bytes(m.data[at:start], "little"))


def push_unicode_line(m: Machine, at: int) -> int:
    """UNICODE: a line in Python's raw-unicode-escape."""
    raw, stop = line(m, at, m.size)
    if stop <= m.end:
        try:
            text = raw.decode("raw-unicode-escape")
        except UnicodeDecodeError:
            raise m.fault(at - 1, "has text with a broken escape") from None
        consider_text(m.suspects, at - 1, text)
        m.stack.append(text)
    return stop


# ── bytes ─────────────────────────────────────────────────────────────────────────────────────────


def _push_bytes(m: Machine, at: int, start: int, stop: int) -> int:
    if stop <= m.end:
        data = m.data[start:stop]
        consider(m.suspects, at - 1, data)
        m.stack.append(data)
    return stop


def push_bytes(m: Machine, at: int) -> int:
    """BINBYTES."""
    start = at + 4
    return _push_bytes(m, at, start, start + int.from_bytes(m.data[at:start], "little"))


def push_short_bytes(m: Machine, at: int) -> int:
    """SHORT_BINBYTES."""
    start = at + 1
    return _push_bytes(m, at, start, start + m.data[at])


def push_bytes8(m: Machine, at: int) -> int:
    """BINBYTES8."""
    start = at + 8
    return _push_bytes(m, at, start, start + int.from_bytes(m.data[at:start], "little"))


def push_bytearray(m: Machine, at: int) -> int:
    """BYTEARRAY8."""
    start = at + 8
    stop = start + int.from_bytes(m.data[at:start], "little")
    if stop <= m.end:
        data = bytearray(m.data[start:stop])
        consider(m.suspects, at - 1, data)
        m.stack.append(data)
    return stop


# ── strings of Python 2 ───────────────────────────────────────────────────────────────────────────


def _push_string(m: Machine, at: int, raw: bytes) -> None:
    """Python 2 did not tell text from bytes: it is text where it is UTF-8, as torch reads it."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        consider(m.suspects, at - 1, raw)
        m.stack.append(raw)
        return
    consider(m.suspects, at - 1, raw)
    consider_text(m.suspects, at - 1, text)
    m.stack.append(text)


def push_string(m: Machine, at: int) -> int:
    """BINSTRING."""
    start = at + 4
    size = int.from_bytes(m.data[at:start], "little", signed=True)
    if size < 0:
        raise m.fault(at - 1, f"has a string of {size} bytes")
    if start + size <= m.end:
        _push_string(m, at, m.data[start : start + size])
    return start + size


def push_short_string(m: Machine, at: int) -> int:
    """SHORT_BINSTRING."""
    start = at + 1
    stop = start + m.data[at]
    if stop <= m.end:
        _push_string(m, at, m.data[start:stop])
    return stop


def push_quoted(m: Machine, at: int) -> int:
    """STRING: a line in quotes, with Python's escapes."""
    raw, stop = line(m, at, m.size)
    if stop <= m.end:
        if len(raw) < 2 or raw[:1] != raw[-1:] or raw[:1] not in (b"'", b'"'):
            raise m.fault(at - 1, "has a string without quotes")
        _push_string(m, at, _unescaped(m, at, raw[1:-1]))
    return stop


def _unescaped(m: Machine, at: int, raw: bytes) -> bytes:
    if b"\\" not in raw:
        return raw

    def replaced(match: re.Match[bytes]) -> bytes:
        found = match[1]
        if found[:1] == b"x":
            if len(found) == 1:
                raise m.fault(at - 1, "has a string with a broken escape")
            return bytes((int(found[1:], 16),))
        if found[:1].isdigit() and found < b"8":
            return bytes((int(found, 8) & 0xFF,))
        return ESCAPED.get(found, match[0])

    text = ESCAPE.sub(replaced, raw)
    if raw.endswith(b"\\") and (len(raw) - len(raw.rstrip(b"\\"))) % 2:
        raise m.fault(at - 1, "has a string that ends in a backslash")
    return text
