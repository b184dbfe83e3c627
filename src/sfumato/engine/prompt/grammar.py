"""Texts that change while a picture is painted: `[from:to:when]` and `[a|b]`, read once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Editing:
    """`[before:after:when]`."""

    before: Nodes
    after: Nodes
    when: str
    """the number as it is written: a dot in it makes a difference"""


@dataclass(frozen=True, slots=True)
class Alternation:
    """`[a|b|…]`: another option at every step."""

    options: tuple[Nodes, ...]


@dataclass(frozen=True, slots=True)
class Bracketed:
    """Brackets that mean nothing here, with what is in them: left for the parser of weights."""

    nodes: Nodes


Node = str | Editing | Alternation | Bracketed
Nodes = tuple[Node, ...]

_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*")
_PIECE = re.compile(r"(?:[^\\\[\]():|]|\\[^\n])+|[\[\]():|]")
_CLOSES = {"(": ")", "[": "]"}


@dataclass(slots=True)
class _Group:
    """What stands after an open bracket so far, in parts between colons or bars."""

    bracket: str
    parts: list[list[Node]] = field(default_factory=lambda: [list[Node]()])
    separators: list[str] = field(default_factory=list[str])

    def literal(self) -> Iterator[Node]:
        """The same as text, when it turns out to be no group."""
        yield self.bracket
        for part, separator in zip(self.parts, [*self.separators, ""], strict=True):
            yield from part
            yield separator

    def close(self) -> Node | None:
        """The group as a value; None where the grammar has no such group."""
        kinds = set(self.separators)
        if not kinds or (self.bracket == "(" and len(self.separators) == 1):
            return Bracketed((*self.literal(), _CLOSES[self.bracket]))
        if self.bracket == "(":
            return None
        parts = [tuple(part) for part in self.parts]
        if kinds == {"|"}:
            return Alternation(tuple(parts))
        if kinds == {":"} and len(parts) in (2, 3) and len(parts[-1]) == 1:
            when = parts[-1][0]
            number = _NUMBER.fullmatch(when) if isinstance(when, str) else None
            if number:
                before = parts[0] if len(parts) == 3 else ()
                return Editing(before, parts[-2], number[1])
        return None


def read(text: str) -> Nodes | None:
    """What `text` holds; None where it breaks the grammar, and all of it is meant literally.

    Brackets that do not pair up and colons outside of groups are text; a bar outside of `[a|b]` and
    a backslash at the end of a line are not in AUTOMATIC1111's grammar. Takes time in proportion to
    the length of the text.
    """
    whole: list[Node] = []
    groups: list[_Group] = []
    end = 0
    for piece in _PIECE.finditer(text):
        if piece.start() != end:
            return None
        end = piece.end()
        if not _take(piece[0], whole, groups):
            return None
    return tuple(whole) if end == len(text) and _spell_out(whole, groups) else None


def _take(piece: str, whole: list[Node], groups: list[_Group]) -> bool:
    """Add `piece`; False where it may not stand there."""
    if piece in _CLOSES:
        groups.append(_Group(piece))
        return True
    if piece == "|":
        if groups and groups[-1].bracket == "[":
            _separate(groups[-1], piece)
            return True
        return False
    if not groups:
        whole.append(piece)
        return True
    group = groups[-1]
    if piece == ":":
        _separate(group, piece)
    elif piece not in _CLOSES.values():
        group.parts[-1].append(piece)
    else:
        closed = group.close() if piece == _CLOSES[group.bracket] else None
        if closed is None:
            # No bracket around one that is text can be a group: all of them are text.
            return _spell_out(whole, groups, piece)
        groups.pop()
        (groups[-1].parts[-1] if groups else whole).append(closed)
    return True


def _separate(group: _Group, separator: str) -> None:
    group.separators.append(separator)
    group.parts.append([])


def _spell_out(whole: list[Node], groups: list[_Group], closing: str = "") -> bool:
    """Make text of all open groups; False where one holds a bar, which is no text."""
    for group in groups:
        if "|" in group.separators:
            return False
        whole.extend(group.literal())
    groups.clear()
    whole.append(closing)
    return True


def evaluate(nodes: Nodes, step: int, when: Callable[[Editing], int]) -> str:
    """The text that `nodes` stand for at `step`, counted from 1.

    when: the last step at which the `before` of an editing holds.
    """
    texts: list[str] = []
    pending = list(reversed(nodes))
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            texts.append(node)
        else:
            pending.extend(reversed(_chosen(node, step, when)))
    return "".join(texts)


def _chosen(
    node: Editing | Alternation | Bracketed, step: int, when: Callable[[Editing], int]
) -> Nodes:
    match node:
        case Bracketed(nodes):
            return nodes
        case Alternation(options):
            return options[(step - 1) % len(options)]
        case Editing(before, after):
            return before if step <= when(node) else after


def changes(nodes: Sequence[Node]) -> Iterator[Editing | Alternation]:
    """Every editing and alternation in `nodes`, however deep."""
    pending = list(reversed(nodes))
    while pending:
        node = pending.pop()
        match node:
            case Editing(before, after):
                yield node
                pending.extend([*reversed(after), *reversed(before)])
            case Alternation(options):
                yield node
                pending.extend(inner for option in options for inner in option)
            case Bracketed(nodes):
                pending.extend(reversed(nodes))
            case _:
                pass
