"""A request whose every value is what its field says: whole numbers, words of a list, parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from numbers import Integral, Real
from operator import attrgetter
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from sfumato.containers.text import escape
from sfumato.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SHOWN = 40
"""characters of a wrong value that a sentence shows"""

T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class Plain:
    """A type that is no list of words and no part of its own."""

    title: str
    kinds: tuple[type, ...]
    """what is taken"""
    make: type
    """what it becomes: numpy's numbers become Python's"""


PLAIN: Mapping[object, Plain] = {
    bool: Plain("True or False", (bool,), bool),
    int: Plain("a whole number", (Integral,), int),
    float: Plain("a number", (Real,), float),
    str: Plain("a text", (str,), str),
}


def typed(part: T, name: str = "") -> T:
    """A request, or a part of one, with every value of the type that its field is annotated with.

    name: what the part is called, in front of its fields. Raises UsageError that names the first
    field whose value is of another type, or none of the words that are known, and what it takes.
    """
    changed: dict[str, object] = {}
    for entry in fields(part):
        value = cast("object", attrgetter(entry.name)(part))
        fitted = _fitted(_hints(type(part))[entry.name], value, f"{name}{entry.name}")
        if fitted is not value:
            changed[entry.name] = fitted
    return replace(part, **changed) if changed else part


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    from PIL.Image import Image  # an annotation that the module of requests does without

    return get_type_hints(kind, localns={"Image": Image})


def _fitted(kind: Any, value: object, name: str) -> object:  # noqa: ANN401 - an annotation
    """The value as `kind` has it."""
    if kind in PLAIN:
        plain = PLAIN[kind]
        if not isinstance(value, plain.kinds) or (isinstance(value, bool) and kind is not bool):
            raise _wrong(name, value, plain.title)
        return value if type(value) is plain.make else _made(plain, value, name)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise _wrong(name, value, f"one of {', '.join(map(str, get_args(kind)))}")
        return value
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind), value, name)
    if get_origin(kind) is UnionType:
        inner = next(one for one in get_args(kind) if one is not NoneType)
        return None if value is None else _fitted(inner, value, name)
    if not isinstance(value, kind):
        raise _wrong(name, value, "a picture" if kind.__name__ == "Image" else f"a {kind.__name__}")
    return typed(cast("DataclassInstance", value), f"{name}.") if is_dataclass(kind) else value


def _made(plain: Plain, value: Any, name: str) -> object:  # noqa: ANN401 - any number there is
    try:
        return plain.make(value)
    except OverflowError as error:
        raise _wrong(name, value, plain.title) from error


def _tuple(kinds: tuple[Any, ...], value: object, name: str) -> tuple[object, ...]:
    """Lists are taken too; `kinds` is (int, int), or (str, ...) for any number of them."""
    several = kinds[-1] is ...
    title = "texts" if several else f"{len(kinds)} values"
    if not isinstance(value, (tuple, list)):
        raise _wrong(name, value, title)
    values = cast("Sequence[object]", value)
    each = kinds[:1] * len(values) if several else kinds
    if len(each) != len(values):
        raise _wrong(name, values, title)
    made = tuple(_fitted(kind, one, name) for kind, one in zip(each, values, strict=True))
    same = isinstance(values, tuple) and all(a is b for a, b in zip(made, values, strict=True))
    return cast("tuple[object, ...]", values) if same else made


def _wrong(name: str, value: object, expected: str) -> UsageError:
    shown = "None" if value is None else f"{escape(repr(value), SHOWN)} ({type(value).__name__})"
    return UsageError(f"{name} is {shown}; expected {expected}")
