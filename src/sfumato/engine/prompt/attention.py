"""Weights of words: round and square brackets, numbers after a colon, BREAK."""

from __future__ import annotations

import re
from typing import NamedTuple

from sfumato.engine.request import Emphasis

STRONGER = 1.1
"""weight of what stands in round brackets"""
WEAKER = 1 / 1.1
"""weight of what stands in square brackets"""
BREAK = "BREAK"
"""ends a chunk"""
BREAK_WEIGHT = -1.0
"""by which the marker is told from the word: within weights it is multiplied, and is the word"""

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"
_PIECE = re.compile(
    rf"""
      \\(?P<escaped>[()\[\]\\]?)
    | (?P<open>[(\[])
    | :\s*(?P<weight>{_NUMBER})\s*\)
    | (?P<close>[)\]])
    | [^\\()\[\]:]+
    | :
    """,
    re.VERBOSE,
)
_MARKER = re.compile(r"\bBREAK\b")

DEEPEST = 200
"""brackets inside each other; what is deeper is text"""


class Fragment(NamedTuple):
    """Text that is tokenised by itself, and how much it counts."""

    text: str
    weight: float


def parse_attention(text: str, mode: Emphasis = "Original") -> list[Fragment]:
    """The fragments of `text`; at least one, with neighbours of equal weight joined.

    `(x)` is 1.1, `[x]` 1 / 1.1, `(x:1.5)` 1.5, nesting multiplies; `\\(` is a bracket. What is not
    closed counts to the end, what cannot be read is text. A `BREAK` outside of weights is
    Fragment("BREAK", -1). Under mode "None" brackets and BREAK are text. The rules are those of
    AUTOMATIC1111's web UI, except that `(x:1..2)`, which fails there, is text.
    """
    if mode == "None":
        return [Fragment(text, 1.0)]
    found = _Fragments()
    for piece in _PIECE.finditer(text):
        found.take(piece)
    return found.finish()


class _Fragments:
    """Fragments so far, and the brackets that are open."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.weights: list[float] = []
        self.round: list[int] = []
        """for each open bracket the index of the first fragment inside"""
        self.square: list[int] = []

    def take(self, piece: re.Match[str]) -> None:
        """Read one piece: a bracket, a weight, or text."""
        text = piece[0]
        if piece["escaped"] is not None:
            self._add(piece["escaped"])
        elif piece["open"] and len(self.round) + len(self.square) < DEEPEST:
            (self.round if text == "(" else self.square).append(len(self.texts))
        elif piece["weight"] is not None and self.round:
            self._multiply(self.round.pop(), float(piece["weight"]))
        elif text == ")" and self.round:
            self._multiply(self.round.pop(), STRONGER)
        elif text == "]" and self.square:
            self._multiply(self.square.pop(), WEAKER)
        else:
            self._add_words(text)

    def finish(self) -> list[Fragment]:
        """Everything, with what is still open closed at the end."""
        for start in self.round:
            self._multiply(start, STRONGER)
        for start in self.square:
            self._multiply(start, WEAKER)
        if not self.texts:
            return [Fragment("", 1.0)]
        joined: list[tuple[list[str], float]] = []
        for text, weight in zip(self.texts, self.weights, strict=True):
            if joined and joined[-1][1] == weight:
                joined[-1][0].append(text)
            else:
                joined.append(([text], weight))
        return [Fragment("".join(texts), weight) for texts, weight in joined]

    def _add_words(self, text: str) -> None:
        """Text with BREAK in it, which takes the blanks around it along."""
        parts = _MARKER.split(text)
        for place, part in enumerate(parts):
            if place:
                part = part.lstrip()
                self._add(BREAK, BREAK_WEIGHT)
            self._add(part if place == len(parts) - 1 else part.rstrip())

    def _add(self, text: str, weight: float = 1.0) -> None:
        self.texts.append(text)
        self.weights.append(weight)

    def _multiply(self, start: int, factor: float) -> None:
        self.weights[start:] = [weight * factor for weight in self.weights[start:]]
