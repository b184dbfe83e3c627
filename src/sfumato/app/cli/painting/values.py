"""Readings of option values that click does not know: numbers, sizes, radii."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TypeVar

import click

LARGEST = 16384
"""pixels of a side"""

Value = TypeVar("Value")


def _named(name: str, read: Callable[[str], Value]) -> Callable[[str], Value]:
    """click shows a reading's name in place of a value."""
    read.__name__ = name
    return read


def word(*known: str) -> Callable[[str], str]:
    """One of a few words, whatever its case."""

    def read(text: str) -> str:
        found = next((one for one in known if one.casefold() == text.strip().casefold()), None)
        if found is None:
            raise click.BadParameter(f"'{text}' is none of {', '.join(known)}.")
        return found

    return _named("|".join(known), read)


def number(low: float | None = None, high: float | None = None) -> Callable[[str], float]:
    """A finite number within bounds."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise click.BadParameter(f"'{text}' is no number.")
        if (low is not None and value < low) or (high is not None and value > high):
            most = "" if high is None else f" and at most {high:g}"
            raise click.BadParameter(f"{text} is out of bounds; at least {low:g}{most}.")
        return value

    return _named("number", read)


def pair(*, zero: bool = False) -> Callable[[str], tuple[int, int]]:
    """WIDTHxHEIGHT in pixels. `zero`: a side may be 0."""

    def read(text: str) -> tuple[int, int]:
        match = re.fullmatch(r"([0-9]{1,5})[xX×]([0-9]{1,5})", text.strip())
        if match is None:
            raise click.BadParameter(f"'{text}' is no size; sizes are WIDTHxHEIGHT, as in 512x768.")
        width, height = int(match[1]), int(match[2])
        if min(width, height) < (0 if zero else 8) or max(width, height) > LARGEST:
            raise click.BadParameter(f"'{text}' has a side that is not from 8 to {LARGEST} pixels.")
        return width, height

    return _named("WxH", read)


def _radii(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,3})(?:[xX×]([0-9]{1,3}))?", text.strip())
    if match is None:
        raise click.BadParameter(f"'{text}' is no radius; radii are N or ACROSSxDOWN.")
    return int(match[1]), int(match[2] or match[1])


radii = _named("pixels", _radii)
"""one number for both directions, or ACROSSxDOWN"""
