"""The opcodes that build containers, and those that move values between stack and memo."""

from __future__ import annotations

import re
from typing import cast

from sfumato.containers.pickles.literals import line
from sfumato.containers.pickles.plain_types import Malformed, as_key
from sfumato.containers.pickles.state import Machine
from sfumato.containers.pickles.values import Key, Parameters, Record, Value

INDEX = re.compile(rb"[0-9]{1,10}")


def mark(m: Machine, at: int) -> int:
    """MARK."""
    m.marks.append(m.stack)
    m.below += len(m.stack)
    m.stack = []
    return at


def pop(m: Machine, at: int) -> int:
    """POP: the topmost value, or the mark where there is none above it."""
    if m.stack:
        m.stack.pop()
    else:
        m.pop_mark()
    return at


def pop_to_mark(m: Machine, at: int) -> int:
    """POP_MARK."""
    m.pop_mark()
    return at


def duplicate(m: Machine, at: int) -> int:
    """DUP."""
    m.stack.append(m.stack[-1])
    return at


# ── memo ──────────────────────────────────────────────────────────────────────────────────────────


def _recall(m: Machine, at: int, index: int) -> None:
    try:
        m.stack.append(m.memo[index])
    except KeyError:
        raise m.fault(at - 1, f"fetches memo entry {index}, which was never stored") from None


def get(m: Machine, at: int) -> int:
    """BINGET."""
    _recall(m, at, m.data[at])
    return at + 1


def long_get(m: Machine, at: int) -> int:
    """LONG_BINGET."""
    _recall(m, at, int.from_bytes(m.data[at : at + 4], "little"))
    return at + 4


def text_get(m: Machine, at: int) -> int:
    """GET."""
    index, stop = _index(m, at)
    if stop <= m.end:
        _recall(m, at, index)
    return stop


def put(m: Machine, at: int) -> int:
    """BINPUT."""
    m.memo[m.data[at]] = m.stack[-1]
    return at + 1


def long_put(m: Machine, at: int) -> int:
    """LONG_BINPUT."""
    m.memo[int.from_bytes(m.data[at : at + 4], "little")] = m.stack[-1]
    return at + 4


def text_put(m: Machine, at: int) -> int:
    """PUT."""
    index, stop = _index(m, at)
    if stop <= m.end:
        m.memo[index] = m.stack[-1]
    return stop


def memoize(m: Machine, at: int) -> int:
    """MEMOIZE."""
    m.memo[len(m.memo)] = m.stack[-1]
    return at


def _index(m: Machine, at: int) -> tuple[int, int]:
    digits, stop = line(m, at, m.limits.name_bytes)
    if stop > m.end:
        return 0, stop
    if not INDEX.fullmatch(digits):
        raise m.fault(at - 1, "names a memo entry that is no number from 0 on")
    return int(digits), stop


# ── containers ────────────────────────────────────────────────────────────────────────────────────


def empty_list(m: Machine, at: int) -> int:
    """EMPTY_LIST."""
    m.made += 1
    m.stack.append([])
    return at


def empty_dict(m: Machine, at: int) -> int:
    """EMPTY_DICT."""
    m.made += 1
    m.stack.append({})
    return at


def empty_set(m: Machine, at: int) -> int:
    """EMPTY_SET."""
    m.made += 1
    m.stack.append(set())
    return at


def empty_tuple(m: Machine, at: int) -> int:
    """EMPTY_TUPLE."""
    m.stack.append(())
    return at


def tuple1(m: Machine, at: int) -> int:
    """TUPLE1."""
    m.made += 1
    stack = m.stack
    stack[-1] = (stack[-1],)
    return at


def tuple2(m: Machine, at: int) -> int:
    """TUPLE2."""
    m.made += 1
    stack = m.stack
    last = stack.pop()
    stack[-1] = (stack[-1], last)
    return at


def tuple3(m: Machine, at: int) -> int:
    """TUPLE3."""
    m.made += 1
    stack = m.stack
    last = stack.pop()
    middle = stack.pop()
    stack[-1] = (stack[-1], middle, last)
    return at


def make_tuple(m: Machine, at: int) -> int:
    """TUPLE."""
    m.made += 1
    items = m.pop_mark()
    m.stack.append(tuple(items))
    return at


def make_list(m: Machine, at: int) -> int:
    """LIST."""
    m.made += 1
    items = m.pop_mark()
    m.stack.append(items)
    return at


def make_dict(m: Machine, at: int) -> int:
    """DICT."""
    m.made += 1
    items = m.pop_mark()
    made: dict[Key, Value] = {}
    m.stack.append(made)
    _set_items(m, at, made, items)
    return at


def make_frozenset(m: Machine, at: int) -> int:
    """FROZENSET."""
    m.made += 1
    items = m.pop_mark()
    m.stack.append(frozenset(_keys(m, at, items)))
    return at


def append(m: Machine, at: int) -> int:
    """APPEND."""
    value = m.stack.pop()
    _extend(m, at, m.stack[-1], [value])
    return at


def appends(m: Machine, at: int) -> int:
    """APPENDS."""
    items = m.pop_mark()
    _extend(m, at, m.stack[-1], items)
    return at


def _extend(m: Machine, at: int, target: Value, items: list[Value]) -> None:
    if isinstance(target, list):
        target.extend(items)
    elif isinstance(target, Record):
        target.items.extend(items)
    else:
        m.postpone(at - 1, f"appends to a {type(target).__name__}")


def set_item(m: Machine, at: int) -> int:
    """SETITEM."""
    stack = m.stack
    value = stack.pop()
    key = stack.pop()
    _set_items(m, at, stack[-1], [key, value])
    return at


def set_items(m: Machine, at: int) -> int:
    """SETITEMS."""
    items = m.pop_mark()
    _set_items(m, at, m.stack[-1], items)
    return at


def _set_items(m: Machine, at: int, target: Value, items: list[Value]) -> None:
    if len(items) % 2:
        raise m.fault(at - 1, "sets a key without a value")
    kind = type(target)
    if kind is dict or kind is Parameters:
        made = cast("dict[Key, Value]", target)
        for index in range(0, len(items), 2):
            key = items[index]
            if type(key) is str:
                made[key] = items[index + 1]
            else:
                _set_odd(m, at, made, key, items[index + 1])
    elif isinstance(target, Record):
        target.items.extend(zip(items[::2], items[1::2], strict=True))
        m.made += len(items) // 2
    else:
        m.postpone(at - 1, f"sets a key of a {kind.__name__}")


def _set_odd(m: Machine, at: int, target: dict[Key, Value], key: Value, value: Value) -> None:
    try:
        target[as_key(key)] = value
    except Malformed as error:
        m.postpone(at - 1, str(error))


def add_items(m: Machine, at: int) -> int:
    """ADDITEMS."""
    items = m.pop_mark()
    target = m.stack[-1]
    if isinstance(target, set):
        target.update(_keys(m, at, items))
    elif isinstance(target, Record):
        target.items.extend(items)
    else:
        m.postpone(at - 1, f"adds to a {type(target).__name__}")
    return at


def _keys(m: Machine, at: int, items: list[Value]) -> list[Key]:
    try:
        return [as_key(item) for item in items]
    except Malformed as error:
        m.postpone(at - 1, str(error))
        return []
