"""Arguments of a call as a person reads them: a bounded look at values of any size."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from sfumato.containers.pickles.values import (
    Global,
    NumpyArray,
    NumpyDType,
    PendingTensor,
    Record,
    StorageRef,
    Value,
)
from sfumato.containers.text import escape

LONGEST_TEXT = 120
LONGEST = 400
MOST_ITEMS = 8
DEEPEST = 3

BRACKETS: dict[type, str] = {
    tuple: "()", list: "[]", dict: "{}", set: "{}", frozenset: "{}",
}  # fmt: skip


DESCRIPTIONS: dict[type, str] = {
    PendingTensor: "<tensor>",
    StorageRef: "<storage>",
    NumpyArray: "<array>",
    NumpyDType: "<dtype>",
}


def show_arguments(arguments: tuple[Value, ...]) -> str:
    """The arguments in the order of the call, escaped and shortened."""
    return escape(_joined(arguments, 0), LONGEST)


def _joined(values: Iterable[Value], depth: int) -> str:
    shown = [_show(value, depth) for value in islice(values, MOST_ITEMS + 1)]
    if len(shown) > MOST_ITEMS:
        shown[-1] = "…"
    return ", ".join(shown)


def _show(value: Value, depth: int) -> str:
    """One value; `depth` counts the containers and records around it."""
    if isinstance(value, str):
        return f"'{escape(value, LONGEST_TEXT)}'"
    if isinstance(value, bytes | bytearray):
        text = bytes(value[: LONGEST_TEXT + 1]).decode("latin-1")
        return f"b'{escape(text, LONGEST_TEXT)}'"
    if value is None or isinstance(value, int | float | complex):
        return str(value)
    if isinstance(value, Global):
        return escape(value.dotted, LONGEST_TEXT)
    if isinstance(value, Record):
        inner = _joined(value.arguments, depth + 1) if depth < DEEPEST else "…"
        return f"{escape(value.origin.dotted, LONGEST_TEXT)}({inner})"
    return _container(value, depth)


def _container(value: Value, depth: int) -> str:
    if isinstance(value, PendingTensor | StorageRef | NumpyArray | NumpyDType):
        return DESCRIPTIONS[type(value)]
    assert isinstance(value, tuple | list | dict | set | frozenset)
    opening, closing = BRACKETS.get(type(value), "{}")
    if depth >= DEEPEST:
        return f"{opening}…{closing}"
    if isinstance(value, dict):
        pairs = (
            f"{_show(key, depth + 1)}: {_show(item, depth + 1)}"
            for key, item in islice(value.items(), MOST_ITEMS)
        )
        inner = ", ".join(pairs) + (", …" if len(value) > MOST_ITEMS else "")
    else:
        inner = _joined(value, depth + 1)
    comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
    return f"{opening}{inner}{comma}{closing}"
