"""Laws of texts that change while a picture is painted."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.engine.prompt.grammar import read
from sfumato.engine.prompt.schedule import Scheduled, schedule

prompts = st.text(alphabet="ab ()[]:\\.12-+e|,\n", max_size=40)


@given(prompts, st.integers(1, 12), st.none() | st.integers(1, 12), st.booleans())
def test_every_pass_is_covered_in_order(
    text: str, steps: int, hires: int | None, old: bool
) -> None:
    found = schedule(text, steps, hires_steps=hires, old=old)
    ends = [entry.end for entry in found]
    assert ends == sorted(set(ends))
    assert ends[0] >= 1
    assert ends[-1] == (steps if hires is None else hires)


@given(prompts)
def test_text_that_breaks_the_grammar_is_one_entry(text: str) -> None:
    if read(text) is None:
        assert schedule(text, 10) == (Scheduled(10, text),)


@given(st.text(alphabet="ab ,()\n", max_size=20))
def test_text_without_changes_is_itself(text: str) -> None:
    assert schedule(text, 10) == (Scheduled(10, text),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a:b:c:3]", "[a:b:c:3]"),
        ("(a:[b:c:0])", "(a:c)"),
        ("(a [b:c:0]", "(a c"),
        ("[a (b] c)", "[a (b] c)"),
        ("[x (a:b:2) y:z:0]", "[x (a:b:2) y:z:0]"),
        ("[a:b:0]]", "b]"),
        ("[[a:b:0]", "[b"),
        ("a|b [c:d:0]", "a|b [c:d:0]"),
        ("(a|b) [c:d:0]", "(a|b) [c:d:0]"),
        ("[a|b [c:d:0]", "[a|b [c:d:0]"),
        ("[c:d:0] \\", "[c:d:0] \\"),
        ("[c:d:0] \\\n", "[c:d:0] \\\n"),
        ("[c:d\\:e:0]", "d\\:e"),
        ("[c:d:\\0]", "[c:d:\\0]"),
        ("[:d:-.5e-1]", "d"),
        ("[a:b:1e999]", "a"),
        ("[a:b:-1e999]", "b"),
        ("[:0]", ""),
        ("[::0]", ""),
        ("[]", "[]"),
        ("()", "()"),
        ("[a:b:٣]", "[a:b:٣]"),
    ],
)
def test_the_first_text_follows_the_grammar(text: str, expected: str) -> None:
    assert schedule(text, 1)[0].text == expected


@pytest.mark.parametrize("text", ["[", "[a:", "(", "[a|", "[[a:b:3]:"])
def test_deep_nesting_takes_time_in_proportion(text: str) -> None:
    began = time.process_time()
    schedule(text * 20_000, 2)
    assert time.process_time() - began < 2


def test_deep_changes_are_read_without_recursion() -> None:
    deep = "[" * 5000 + "a" + ":b:1]" * 5000
    assert schedule(deep, 2) == (Scheduled(1, "a"), Scheduled(2, "b"))


def test_alternation_begins_anew_in_the_second_pass() -> None:
    assert [entry.text for entry in schedule("[a|b]", 3, hires_steps=2)] == ["a", "b"]


def test_the_old_rule_takes_shares_of_the_pass_it_is_in() -> None:
    assert schedule("[a:b:.5]", 20, hires_steps=10, old=True)[0].end == 5
