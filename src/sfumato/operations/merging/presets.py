"""Weights by block that have a name: curves over the blocks of a UNet of any size."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sfumato.errors import UsageError


@dataclass(frozen=True, slots=True)
class Preset:
    """A curve over the blocks, from the first (0) by the middle (0.5) to the last (1)."""

    name: str
    text: str
    curve: Callable[[float], float]


def _valley(x: float) -> float:
    return abs(2 * x - 1)


def _smooth(x: float) -> float:
    return x * x * (3 - 2 * x)


def _wave(x: float) -> float:
    return 0.5 - 0.5 * math.cos(2 * math.pi * x)


PRESETS: tuple[Preset, ...] = (
    Preset("grad-v", "1 at both ends, 0 in the middle", _valley),
    Preset("grad-a", "0 at both ends, 1 in the middle", lambda x: 1 - _valley(x)),
    Preset("rise", "from 0 at the first block to 1 at the last", lambda x: x),
    Preset("fall", "from 1 at the first block to 0 at the last", lambda x: 1 - x),
    Preset("smooth-rise", "as rise, level at both ends", _smooth),
    Preset("smooth-fall", "as fall, level at both ends", lambda x: 1 - _smooth(x)),
    Preset("cosine", "one wave: 0, 1 in the middle, 0", _wave),
    Preset("in", "1 on the way down, 0 from the middle on", lambda x: float(x < 0.5)),
    Preset("middle", "1 in the middle third", lambda x: float(1 / 3 <= x <= 2 / 3)),
    Preset("out", "1 on the way up, 0 before", lambda x: float(x > 0.5)),
    Preset("wrap", "1 in the outer thirds", lambda x: float(not 1 / 3 <= x <= 2 / 3)),
)
"""in the order in which they are listed; the text encoder and the VAE are not touched by any"""

RANGE = re.compile(r"^\s*([a-z-]+)\s*(?::\s*(-?[\d.]+)\s*\.\.\s*(-?[\d.]+)\s*)?$", re.IGNORECASE)


def preset(text: str, blocks: Sequence[str]) -> dict[str, float]:
    """Weights of a preset, `NAME` or `NAME:LOW..HIGH`, for each of `blocks` in order.

    Raises UsageError for a name or range that is none.
    """
    found = RANGE.match(text)
    curve = next((p.curve for p in PRESETS if found and p.name == found[1].lower()), None)
    if found is None or curve is None:
        raise UsageError(f"{text}: is no preset; there are {', '.join(p.name for p in PRESETS)}")
    low, high = (_end(found[2]), _end(found[3])) if found[2] else (0.0, 1.0)
    last = max(1, len(blocks) - 1)
    return {name: low + (high - low) * curve(index / last) for index, name in enumerate(blocks)}


def _end(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{text}: is no number that a preset could begin or end with") from None
