"""Traps of the prompt language: what a prompt says and hardly means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from sfumato.containers.text import escape
from sfumato.engine.prompt.attention import BREAK, BREAK_WEIGHT, parse_attention
from sfumato.engine.prompt.comments import cut_comments
from sfumato.engine.prompt.conjunction import split_and
from sfumato.engine.prompt.grammar import Editing, changes, evaluate, read
from sfumato.engine.prompt.tags import calls, extract
from sfumato.engine.request import Emphasis

_COMMENT = re.compile(r"#[^\n]*")
_BRACKET = re.compile(r"\\.|([()\[\]])", re.DOTALL)
_PAIRS = {")": "(", "]": "["}
_ALMOST_WEIGHT = re.compile(r"\(([^()\[\]:]*):\s*([+-]?[\d.,]+)\s*\)")
_WEIGHT = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)")
_ALMOST_CHANGE = re.compile(r"(?<!\\)\[[^\[\]():|\\]*(?::[^\[\]():|\\]*)+\]")
_CHANGE_ENDS = re.compile(r":\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*\]")
_LOWER_BREAK = re.compile(r"(?:^|[,\n])[^\S\n]*([Bb]reak)[^\S\n]*(?=$|[,\n])")
_LOWER_AND = re.compile(r":\s*[+-]?[\d.]+\s+([Aa]nd)\s[^,:()\[\]]*:\s*[+-]?[\d.]+\s*$")

Trap = Callable[[str], Iterator[str]]
"""text of a prompt → a sentence for each place"""


def lint(
    prompt: str, negative: str = "", *, comments: bool = True, emphasis: Emphasis = "Original"
) -> tuple[str, ...]:
    """One sentence for each trap in a prompt and its negative prompt, quoting the place.

    comments: whether `#` begins one. emphasis: "None" takes brackets for text. Nothing is changed
    by this: a prompt means what it says.
    """
    traps = SCHEDULED if emphasis == "None" else (*SCHEDULED, *WEIGHED)
    found: list[str] = []
    for text, judge in ((prompt, _in_prompt), (negative, _in_negative)):
        found += _commented(text) if comments else ()
        found += judge(cut_comments(text) if comments else text, traps)
    return tuple(dict.fromkeys(found))


def _in_prompt(text: str, traps: Sequence[Trap]) -> Iterator[str]:
    text, tags = extract(text)
    yield from calls(tags).notes
    parts = split_and(text)
    if len(parts) == 1 and parts[0].weight != 1:
        weight = f"{parts[0].weight:g}"
        yield f"The number at the end of {_end(text)} gives the whole prompt the weight {weight}."
    for trap in traps:
        for part in parts:
            yield from trap(part.text)
    for word in _LOWER_AND.findall(text):
        yield f'"{word}" is a word of the prompt: to join two prompts, write AND.'


def _in_negative(text: str, traps: Sequence[Trap]) -> Iterator[str]:
    for tag in extract(text)[1]:
        yield f"{_quoted(tag.text)} is text here: tags work in the prompt, not in the negative one."
    if len(split_and(text)) > 1:
        yield '"AND" is a word here: it joins parts of the prompt, not of the negative one.'
    for trap in traps:
        yield from trap(text)


def _commented(text: str) -> Iterator[str]:
    for comment in _COMMENT.findall(text):
        yield f"{_quoted(comment)} is left out: # begins a comment, to the end of the line."


def _vanishing(text: str) -> Iterator[str]:
    """`[x:1.3]`, which looks like a weight and is "add x at 130 %"."""
    for change in changes(read(text) or ()):
        late = isinstance(change, Editing) and "." in change.when and float(change.when) >= 1
        if isinstance(change, Editing) and late and not change.before:
            inner = evaluate(change.after, 1, lambda _: 0)
            yield (
                f"{_quoted(f'[{inner}:{change.when}]')} leaves {_quoted(inner)} out of the first "
                f"pass: a weight is written in round brackets, ({escape(inner, 40)}:{change.when})."
            )


def _unscheduled(text: str) -> Iterator[str]:
    """Square brackets with colons that end in no number, bars outside of brackets."""
    if read(text) is None and _ALMOST_CHANGE.search(text):
        yield (
            f'"|" or a backslash in {_quoted(text)} stands where it cannot: no [from:to:when] in '
            "this prompt takes effect."
        )
        return
    for found in _ALMOST_CHANGE.findall(text):
        if not _CHANGE_ENDS.search(found) or found.count(":") > 2:
            yield f"{_quoted(found)} is text: a change is written [from:to:when], when a number."


def _broken(text: str) -> Iterator[str]:
    """BREAK inside of weights."""
    fragments = parse_attention(text)
    for index, (word, weight) in enumerate(fragments):
        if word == BREAK and weight != BREAK_WEIGHT:
            before = fragments[index - 1].text if index else ""
            place = _quoted(f"{before} {BREAK}".strip()[-40:])
            yield f"BREAK in {place} is a word: inside of brackets it ends no chunk."


def _unpaired(text: str) -> Iterator[str]:
    """The first bracket of each sort that nothing closes or opens."""
    opened: dict[str, list[int]] = {"(": [], "[": []}
    alone: dict[str, int] = {}
    for found in _BRACKET.finditer(text):
        bracket = found[1]
        if bracket in opened:
            opened[bracket].append(found.start())
        elif bracket and opened[_PAIRS[bracket]]:
            opened[_PAIRS[bracket]].pop()
        elif bracket:
            alone.setdefault(bracket, found.end())
    for bracket, end in alone.items():
        place = _quoted(text[max(0, end - 20) : end])
        yield f'The "{bracket}" at the end of {place} closes nothing and is text.'
    for bracket, (start, *_) in ((sign, places) for sign, places in opened.items() if places):
        place = _quoted(text[start : start + 40])
        yield (
            f'The "{bracket}" at the beginning of {place} is not closed and counts to the end of '
            "the prompt."
        )


def _unweighted(text: str) -> Iterator[str]:
    """`(x:1..2)` and `(x:1,2)`."""
    for found in _ALMOST_WEIGHT.finditer(text):
        digits = any(sign.isdigit() for sign in found[2])
        if digits and not _WEIGHT.fullmatch(found[2]):
            yield f'"{found[2]}" in {_quoted(found[0])} is not a number: it is text, at weight 1.1.'


def _lower_case(text: str) -> Iterator[str]:
    for word in _LOWER_BREAK.findall(text):
        yield f'"{word}" is a word of the prompt: to end a chunk, write BREAK.'


SCHEDULED: tuple[Trap, ...] = (_vanishing, _unscheduled)
WEIGHED: tuple[Trap, ...] = (_broken, _unpaired, _unweighted, _lower_case)


def _end(text: str) -> str:
    text = text.strip()
    return _quoted(text if len(text) <= 40 else "…" + text[-39:])


def _quoted(text: str) -> str:
    return f'"{escape(text, 60)}"'
