"""A check that a value is not nested too deep: it visits each container once, without recursion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import cast

from sfumato.containers.pickles.values import Parameters, Record, Value

BRANCHES: frozenset[type] = frozenset({list, tuple, dict, Parameters, Record})
"""types that hold values; sets hold nothing but keys"""


@dataclass(slots=True, eq=False)
class _Level:
    """A container on the way from the root down to where the walk is."""

    identity: int
    rest: Iterator[Value]
    records: int
    """records on the way to it, itself among them"""
    height: int = 0
    """the deepest that was found below it so far"""


def nesting_fault(root: Value, limit: int) -> str:
    """Why the value cannot be walked safely; empty where it can.

    An object may lead back to one that holds it (omegaconf's nodes know their parents); a list,
    tuple or dictionary that holds itself, with no object between, has no end.
    """
    heights: dict[int, int] = {}
    if type(root) not in BRANCHES:
        return ""
    path = [_level(root, 0)]
    on_path = {id(root): path[0]}
    while path:
        top = path[-1]
        child = next((item for item in top.rest if type(item) in BRANCHES), None)
        if child is None:
            path.pop()
            del on_path[top.identity]
            heights[top.identity] = top.height + 1
            if path:
                path[-1].height = max(path[-1].height, top.height + 1)
            continue
        above = on_path.get(id(child))
        if above is not None:
            if above.records == top.records and type(child) is not Record:
                return "a container holds itself"
            continue
        below = heights.get(id(child), 0)
        top.height = max(top.height, below)
        if len(path) + max(below, 1) > limit:
            return f"values are nested more than {limit} deep"
        if not below:
            path.append(_level(child, top.records))
            on_path[id(child)] = path[-1]
    return ""


def _level(value: Value, records: int) -> _Level:
    return _Level(id(value), iter(_children(value)), records + (type(value) is Record))


def _children(value: Value) -> Iterable[Value]:
    if isinstance(value, Record):
        return chain(value.arguments, (value.state,), value.items)
    if isinstance(value, dict):
        return value.values()
    return cast("list[Value] | tuple[Value, ...]", value)
