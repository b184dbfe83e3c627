"""JSON out of pictures: bounded, and looked at without trusting its shape."""

from __future__ import annotations

import json

from sfumato.containers.strict_json import COLONS, SEPARATORS, Json

LONGEST = 16 << 20
"""characters of a text that is parsed"""


def parse(text: str) -> Json:
    """The value of a text; None where it is no JSON, or more than is reasonable.

    ComfyUI writes NaN, which JSON does not have; it is let through.
    """
    if len(text) > LONGEST or text.count(":") > COLONS:
        return None
    if text.count(",") + text.count("[") + text.count("{") > SEPARATORS:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError, MemoryError):
        return None


def table(value: Json) -> dict[str, Json]:
    """The value as an object; an empty one where it is something else."""
    return value if isinstance(value, dict) else {}


def rows(value: Json) -> list[Json]:
    """The value as a list; an empty one where it is something else."""
    return value if isinstance(value, list) else []


def word(value: Json) -> str:
    """A text, number or truth value as text; empty for what is none of these."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value) if isinstance(value, str | int) else ""


def first(values: dict[str, Json], *keys: str) -> str:
    """The first of several keys whose value is not empty."""
    return next((found for key in keys if (found := word(values.get(key)))), "")
