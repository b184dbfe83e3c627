"""Long and twisted prompts cost time in proportion to their length."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from sfumato.engine.prompt.attention import parse_attention
from sfumato.engine.prompt.cleaning import plain
from sfumato.engine.prompt.comments import cut_comments
from sfumato.engine.prompt.conjunction import split_and
from sfumato.engine.prompt.lint import lint
from sfumato.engine.prompt.schedule import schedule
from sfumato.engine.prompt.tags import extract

TWISTED = (
    *("(a", "[a:", "[a|", "((a))", "[a:b:1]", "(a:", ": 1 and ", "<a:", "<", "AND ", "BREAK ", "#"),
    *("&amp;", "break, ", "\\", "1", ":", " ", "\n", "\x85", "(a:1", "[[a:b:"),
)

READERS: tuple[Callable[[str], object], ...] = (
    parse_attention,
    split_and,
    lambda text: schedule(text, 2),
    extract,
    cut_comments,
    plain,
    lint,
)


@pytest.mark.parametrize("text", TWISTED)
@pytest.mark.parametrize("end", ["x", ")"])
def test_no_prompt_takes_long_to_read(text: str, end: str) -> None:
    long = "(a:" + text * (10_000 // len(text)) + end
    for read in READERS:
        began = time.process_time()
        read(long)
        assert time.process_time() - began < 1.5


def test_groups_within_groups_are_read_once() -> None:
    began = time.process_time()
    for opening, closing in (("(a", ")"), ("[a", "]"), ("[a:b", ":1]"), ("[a|", "]")):
        schedule(opening * 5000 + closing * 5000, 2)
    assert time.process_time() - began < 2
