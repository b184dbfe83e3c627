"""Laws of weights."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.engine.prompt.attention import BREAK, Fragment, parse_attention

prompts = st.text(alphabet="ab ()[]:\\.12-BREAK,\n|<>", max_size=40)


@given(prompts)
def test_any_text_is_read_and_neighbours_differ(text: str) -> None:
    found = parse_attention(text)
    assert found
    assert all(one.weight != two.weight for one, two in pairwise(found))


@given(st.text(alphabet="abc ,.-", max_size=30))
def test_text_without_signs_is_itself(text: str) -> None:
    assert parse_attention(text) == [Fragment(text, 1.0)]


@given(st.text(alphabet="ab ()[]\\.12,\n|", max_size=40))
def test_escaped_text_is_itself(text: str) -> None:
    escaped = re.sub(r"[\\()\[\]]", r"\\\g<0>", text)
    assert parse_attention(escaped) == [Fragment(text, 1.0)]


@given(st.floats(0.01, 50), st.floats(0.01, 50))
def test_nested_weights_multiply(one: float, two: float) -> None:
    outer, inner = format(one, "f"), format(two, "f")
    weight = parse_attention(f"((x:{inner}):{outer})")[0].weight
    assert weight == pytest.approx(float(outer) * float(inner))


def test_without_emphasis_brackets_and_break_are_text() -> None:
    text = "(a:1.2) BREAK [b]"
    assert parse_attention(text, "None") == [Fragment(text, 1.0)]


def test_a_marker_within_weights_is_the_word() -> None:
    assert Fragment(BREAK, -1.2) in parse_attention("(fox BREAK moon:1.2)")


@pytest.mark.parametrize("text", ["(a:1,2)", "(a:1.2.3)", "(a:.)", "(a:+)", "(a:1 2)"])
def test_what_is_no_number_is_text(text: str) -> None:
    assert parse_attention(text) == [Fragment(text[1:-1], 1.1)]


def test_a_number_without_brackets_is_text() -> None:
    assert parse_attention("a:1.2)") == [Fragment("a:1.2)", 1.0)]


@given(st.text(alphabet="aB ,\n", max_size=10), st.text(alphabet="aB ,\n", max_size=10))
def test_a_marker_takes_the_blanks_around_it_along(before: str, after: str) -> None:
    expected = [(before.rstrip(), 1.0), (BREAK, -1.0), (after.lstrip(), 1.0)]
    assert parse_attention(f"{before} BREAK {after}") == expected


def test_brackets_that_are_too_deep_are_text() -> None:
    assert parse_attention("(" * 200 + "a")[0].text == "a"
    assert parse_attention("(" * 201 + "a")[0].text == "(a"
