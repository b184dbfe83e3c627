"""How many ranks each layer of a LoRA gets: one number for all, or what its spectrum is worth."""

from __future__ import annotations

import difflib
import heapq
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

from sfumato.containers.text import escape
from sfumato.errors import UsageError

MOST = 128
"""ranks that a layer gets at most where a rule of another sort than a number decides"""

LARGEST = 1 << 14
"""ranks that may be asked for"""


class Spectrum(NamedTuple):
    """What one layer has to choose from."""

    values: Sequence[float]
    """singular values, the largest first"""
    square: float
    """of the whole change, ‖ΔW‖²"""
    cost: int
    """numbers that a file holds for each rank: rows and columns of the layer"""


Chosen = list[int]


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to choose ranks."""

    name: str
    meaning: str
    """of its number, as the help page says it"""
    choose: Callable[[Sequence[Spectrum], float], Chosen]
    below: float = float("inf")
    """the number must be between 0 and this"""


def _fixed(spectra: Sequence[Spectrum], number: float) -> Chosen:
    return [min(int(number), len(layer.values)) for layer in spectra]


def _energy(spectra: Sequence[Spectrum], share: float) -> Chosen:
    return [_enough(layer, (1 - share) * layer.square) for layer in spectra]


def _error(spectra: Sequence[Spectrum], share: float) -> Chosen:
    return [_enough(layer, share * share * layer.square) for layer in spectra]


def _enough(layer: Spectrum, allowed: float) -> int:
    """The fewest ranks, at least one, that leave no more than `allowed` of ‖ΔW‖²; all if none do.

    What lies beyond the values that are known is left in any case.
    """
    left = layer.square
    for rank, value in enumerate(layer.values, 1):
        left -= value * value
        if left <= allowed:
            return rank
    return len(layer.values)


def _ratio(spectra: Sequence[Spectrum], number: float) -> Chosen:
    """As kohya's resizing by `sv_ratio`: values down to the largest over `number`."""
    return [
        max(1, sum(value * number >= layer.values[0] for value in layer.values))
        for layer in spectra
    ]  # fmt: skip


def _size(spectra: Sequence[Spectrum], numbers: float) -> Chosen:
    """The least total error for so many numbers: the values worth most for what they cost first.

    A layer's values fall and its costs do not, so taking the best next one each time is best, but
    for the few numbers left over at the end, into which no rank of the next layer fits.
    """
    ranks = [0 for _ in spectra]
    waiting = [
        (-layer.values[0] ** 2 / layer.cost, place)
        for place, layer in enumerate(spectra) if len(layer.values)
    ]  # fmt: skip
    heapq.heapify(waiting)
    while waiting:
        _, place = heapq.heappop(waiting)
        layer = spectra[place]
        if layer.cost > numbers:
            continue
        numbers -= layer.cost
        ranks[place] += 1
        if ranks[place] < len(layer.values):
            value = layer.values[ranks[place]]
            heapq.heappush(waiting, (-value * value / layer.cost, place))
    return ranks


RULES: tuple[Rule, ...] = (
    Rule("fixed", "a number: so many ranks for every layer", _fixed, LARGEST + 1),
    Rule("energy", "as few as hold this share of ‖ΔW‖², such as energy:0.95", _energy, 1),
    Rule("error", "as few as keep the relative error below this, such as error:0.1", _error, 1),
    Rule("ratio", "singular values down to the largest over this, such as ratio:20", _ratio),
    Rule("size", "the least error in a file of this size, such as size:40MB", _size),
)
"""every way to choose ranks"""

BY_NAME = {rule.name: rule for rule in RULES}

UNITS = {
    "": 1.0,
    "b": 1.0,
    "kb": 1e3,
    "mb": 1e6,
    "gb": 1e9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}

_NUMBER = re.compile(r"(?P<number>\d+(?:\.\d+)?|\.\d+)\s*(?P<unit>%|[kmg]?i?b|)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wish:
    """A rule with its number."""

    rule: Rule
    number: float
    """ranks, a share, a ratio, or bytes"""

    @property
    def text(self) -> str:
        """As it is written in a recipe."""
        number = f"{self.number:.10g}"
        return number if self.rule.name == "fixed" else f"{self.rule.name}:{number}"

    @property
    def most(self) -> int:
        """Ranks that must be known of each layer; 0 where the number does not say."""
        return int(self.number) if self.rule.name == "fixed" else 0

    def choose(self, spectra: Sequence[Spectrum], itemsize: int) -> Chosen:
        """Ranks for all layers. itemsize: bytes of each number in the file."""
        if self.rule.name == "size":
            return self.rule.choose(spectra, self.number / itemsize)
        return self.rule.choose(spectra, self.number)


def wish(text: str | int) -> Wish:
    """What `text` asks for: "64", "energy:0.95", "error:5%", "ratio:20", "size:40MB".

    Raises UsageError for a rule that there is not, and for a number that it cannot take.
    """
    name, colon, number = str(text).strip().lower().rpartition(":")
    name = name.strip() if colon else "fixed"
    rule = BY_NAME.get(name)
    if rule is None:
        near = difflib.get_close_matches(name, BY_NAME, 1, 0.0) or ["energy"]
        raise UsageError(f"rank {escape(str(text), 40)}: no such rule; nearest: {near[0]}")
    match = _NUMBER.fullmatch(number.strip())
    unit = match["unit"].lower() if match else ""
    value = float(match["number"]) * (0.01 if unit == "%" else UNITS[unit]) if match else 0.0
    whole = rule.name != "fixed" or value == int(value)
    sized = rule.name == "size" or unit in ("", "%")
    if not (match and isfinite(value) and 0 < value < rule.below and whole and sized):
        raise UsageError(f"rank {escape(str(text), 40)}: expected {rule.meaning}")
    return Wish(rule, value)
