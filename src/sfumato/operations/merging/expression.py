"""Merges as sums: "0.7*A + 0.3*B", "A + 0.8*(B - C)"."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sfumato.containers.source import is_file, is_folder
from sfumato.containers.text import escape
from sfumato.errors import SfumatoError, UsageError
from sfumato.operations.merging.tree import Leaf, Mix, mix

WORD = re.compile(r"""\s*("[^"]*"|'[^']*'|[*()]|[^\s*()]+)""")
"""a quoted name, a mark, or what stands between spaces and marks"""

GLUED = re.compile(r"^([A-Z])([-+])(\d+\.?\d*|\.\d+|[A-Z](?:[-+].*)?|)$|^([-+])([\d.].*|[A-Z])$")
"""a single letter, a sign, and a number or letter, without spaces: A+0.3, B-C; or a sign before"""

NUMBER = re.compile(r"^(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$")

LOOKS = re.compile(r"\*|(?<=\s)[-+](?=[\s(])|^[A-Z](?:[-+][A-Z])+$|^[A-Z][-+]\(")
"""what an expression has and a name hardly ever"""

DEEPEST = 50
"""parentheses inside parentheses"""

LONGEST = 10_000
"""characters of an expression"""


def is_expression(text: str) -> bool:
    """True for text with a `*`, or a `+` or `-` between spaces: more than one model's name."""
    return LOOKS.search(text) is not None


def is_sum(text: str, find: Callable[[str], Path]) -> bool:
    """True for an expression, unless a model is called so.

    find: raises an error of this package for a name that is no model's, or gives a path where there
        is nothing.
    """
    if not is_expression(text):
        return False
    try:
        path = find(text)
    except SfumatoError:
        return True
    return not (is_file(path) or is_folder(path))


def parse(text: str, leaf: Callable[[str], Leaf]) -> Mix:
    """The sum that an expression says, one weight for each model; a model may occur many times.

    Numbers, names, `+`, `-`, `*`, `/` by a number, and parentheses. `+`, `-` and `/` have spaces
    around them, for names may contain them; only after a single letter they need none. Names with
    `*` or parentheses stand in quotes. A product of two models is refused.

    Raises UsageError, and what `leaf` raises for a name that is no model's.
    """
    from sfumato.operations.merging.registry import find_method

    if len(text) > LONGEST:
        raise UsageError(f"an expression has at most {LONGEST} characters, this one {len(text)}")
    total = _Reading(text).whole()
    if total.number:
        raise UsageError(f"{escape(text)}: adds the number {total.number:g} to a model")
    if not total.models:
        raise UsageError(f"{escape(text)}: names no model")
    found: dict[str, tuple[Leaf, float]] = {}
    for name, weight in total.models.items():
        model = leaf(name)
        before = found.get(model.label, (model, 0.0))[1]
        found[model.label] = (model, before + weight)
    models, weights = zip(*found.values(), strict=True)
    return mix(find_method("sum"), models, {"weights": list(weights)})


@dataclass(frozen=True, slots=True)
class Term:
    """A number plus models times numbers."""

    number: float
    models: dict[str, float]

    def times(self, factor: float) -> Term:
        """Everything multiplied."""
        models = {name: factor * weight for name, weight in self.models.items()}
        return Term(factor * self.number, models)

    def plus(self, other: Term) -> Term:
        """Both together."""
        models = dict(self.models)
        for name, weight in other.models.items():
            models[name] = models.get(name, 0.0) + weight
        return Term(self.number + other.number, models)


Token = tuple[str, str]
"""sort, text"""

END: Token = ("end", "the end")


def _sorted(word: str) -> Iterator[Token]:
    """What a word is."""
    glued = GLUED.match(word)
    if word[0] in "\"'" and len(word) > 1 and word[-1] == word[0]:
        yield "name", word[1:-1]
    elif word in ("*", "(", ")", "+", "-", "/"):
        yield "mark", word
    elif NUMBER.match(word):
        yield "number", word
    elif glued is not None:
        letter, sign, rest = glued[1], glued[2] or glued[4], glued[3] or glued[5]
        if letter:
            yield "word", letter
        yield "mark", sign
        if rest:
            yield from _sorted(rest)
    else:
        yield "word", word


def _named(run: list[Token]) -> Iterator[Token]:
    """What follows each other without a mark is one name; alone, a number is a number."""
    if len(run) == 1 and run[0][0] == "number":
        yield run[0]
    elif run:
        yield "name", " ".join(word for _, word in run)


class _Reading:
    """An expression that is being read, from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._tokens())
        self.place = 0

    def _tokens(self) -> Iterator[Token]:
        run: list[Token] = []
        for found in WORD.finditer(self.text):
            for kind, word in _sorted(found[1]):
                if kind in ("word", "number"):
                    run.append((kind, word))
                    continue
                yield from _named(run)
                run = []
                yield kind, word
        yield from _named(run)

    def whole(self) -> Term:
        """The expression to its end."""
        found = self._sum(0)
        if self._next() != END:
            raise self._unexpected()
        return found

    def _next(self) -> Token:
        return self.tokens[self.place] if self.place < len(self.tokens) else END

    def _take(self, *words: str) -> str:
        """The next token if it is one of these marks, else nothing."""
        kind, word = self._next()
        if kind == "mark" and word in words:
            self.place += 1
            return word
        return ""

    def _unexpected(self) -> UsageError:
        return UsageError(f"{escape(self.text)}: {escape(self._next()[1])} was not expected there")

    def _sum(self, depth: int) -> Term:
        sign = -1.0 if self._take("+", "-") == "-" else 1.0
        found = self._product(depth).times(sign)
        while word := self._take("+", "-"):
            found = found.plus(self._product(depth).times(-1.0 if word == "-" else 1.0))
        return found

    def _product(self, depth: int) -> Term:
        found = self._factor(depth)
        while word := self._take("*", "/"):
            other = self._factor(depth)
            found = self._multiplied(found, other, divide=word == "/")
        return found

    def _multiplied(self, a: Term, b: Term, *, divide: bool) -> Term:
        if divide:
            if b.models or not b.number:
                raise UsageError(f"{escape(self.text)}: divides by what is no number other than 0")
            return a.times(1 / b.number)
        if a.models and b.models:
            raise UsageError(f"{escape(self.text)}: multiplies two models, which makes none")
        return a.times(b.number) if a.models else b.times(a.number)

    def _factor(self, depth: int) -> Term:
        if depth > DEEPEST:
            raise UsageError(f"an expression has at most {DEEPEST} parentheses inside another")
        kind, word = self._next()
        if self._take("-"):
            return self._factor(depth + 1).times(-1.0)
        if self._take("("):
            found = self._sum(depth + 1)
            if not self._take(")"):
                raise self._unexpected()
            return found
        if kind not in ("number", "name"):
            raise self._unexpected()
        self.place += 1
        return Term(float(word), {}) if kind == "number" else Term(0.0, {word: 1.0})
