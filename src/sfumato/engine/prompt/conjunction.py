"""Prompts joined by AND: each denoises by itself, and the results are added up by weight."""

from __future__ import annotations

import re
from typing import NamedTuple

_AND = re.compile(r"\bAND\b")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?|\d*\.\d+)")


class Weighted(NamedTuple):
    """A prompt and its share in the sum."""

    text: str
    weight: float


def split_and(text: str) -> tuple[Weighted, ...]:
    """The parts between the words AND; each may end in `: number`, its weight.

    A prompt of one part may end so too: "fox:2" has weight 2, as in AUTOMATIC1111's web UI.
    """
    return tuple(_weighted(part.rstrip()) for part in _AND.split(text))


def _weighted(part: str) -> Weighted:
    head, colon, tail = part.rpartition(":")
    number = tail.strip()
    if colon and _NUMBER.fullmatch(number):
        return Weighted(head.rstrip(), float(number))
    return Weighted(part, 1.0)
