"""Single values of a record as text: read within bounds, and shown so that they read back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

Reader = Callable[[str], object]
"""text → value; raises ValueError with the clause "no number", "not one of …" """

LONGEST = 40
"""characters of a number"""

_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")


def whole(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers in a range; "20.0" is one."""

    def read(text: str) -> int:
        short = text[:LONGEST]
        try:
            value = int(short) if short.lstrip("+-").isdecimal() else float(short)
        except ValueError as error:
            raise ValueError("no whole number") from error
        if not low <= value <= high or value != int(value):
            raise ValueError(f"no whole number from {low} to {high}")
        return int(value)

    return read


def number(low: float = -1e6, high: float = 1e6) -> Callable[[str], float]:
    """A reader of numbers in a range."""

    def read(text: str) -> float:
        try:
            value = float(text[:LONGEST])
        except ValueError as error:
            raise ValueError("no number") from error
        if math.isnan(value) or not low <= value <= high:
            raise ValueError(f"no number from {low:g} to {high:g}")
        return value

    return read


def flag(text: str) -> bool:
    """True or False, as Python or JSON spells them."""
    answer = {"true": True, "false": False, "1": True, "0": False}.get(text.lower())
    if answer is None:
        raise ValueError("neither True nor False")
    return answer


def word(*known: str) -> Callable[[str], str]:
    """A reader of one of several words, whatever their case."""

    def read(text: str) -> str:
        found = next((name for name in known if name.lower() == text.lower()), None)
        if found is None:
            raise ValueError(f"not one of {', '.join(known)}")
        return found

    return read


def text(value: str) -> str:
    """Any text."""
    return value


def named(text: str) -> str:
    """The name of a model, without the hash in brackets that may follow it."""
    return re.sub(r" \[[0-9a-f]{6,64}\]$", "", text)


def other(text: str) -> str:
    """A choice for the second pass; empty for "Use same sampler" and the like."""
    return "" if text.lower().startswith("use same") else text


def size(text: str) -> tuple[int, int]:
    """Width and height in pixels from "512x768"."""
    found = _SIZE.fullmatch(text)
    if found is None or max(int(found[1]), int(found[2])) > LARGEST:
        raise ValueError(f"no size such as 512x768, at most {LARGEST} pixels a side")
    return int(found[1]), int(found[2])


LARGEST = 16384
"""pixels of a side that a record may ask for"""


def show(value: object) -> str:
    """A value as A1111 shows it: True, 7 rather than 7.0, 512x768."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, tuple):
        return "x".join(map(show, value))  # pyright: ignore[reportUnknownArgumentType]
    return str(value)
