"""The prompt language against numbers taken from AUTOMATIC1111's web UI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sfumato.engine.prompt.attention import Fragment, parse_attention
from sfumato.engine.prompt.conjunction import Weighted, split_and
from sfumato.engine.prompt.schedule import Scheduled, schedule

DATA = Path(__file__).parents[2] / "data" / "golden" / "prompt.json"
GOLDEN: dict[str, dict[str, Any]] = json.loads(DATA.read_text("utf-8"))


def cases(table: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("text", "expected"), list(GOLDEN[table].items()))


def test_the_numbers_are_those_beside_the_project(shared: Path) -> None:
    beside = json.loads((shared / "golden" / "generation.json").read_text("utf-8"))
    assert {name: beside[name] for name in GOLDEN} == GOLDEN


@cases("attention")
def test_weights_are_those_of_the_web_ui(text: str, expected: list[list[Any]] | str) -> None:
    if isinstance(expected, str):  # the web UI fails: a bug that is not repeated
        assert parse_attention(text) == [Fragment("a:1..2", 1.1)]
    else:
        assert parse_attention(text) == [Fragment(*pair) for pair in expected]


@cases("and")
def test_parts_are_those_of_the_web_ui(text: str, expected: list[list[Any]]) -> None:
    assert split_and(text) == tuple(Weighted(*pair) for pair in expected)


@cases("schedule_first_pass_10_steps")
def test_the_first_pass_is_that_of_the_web_ui(text: str, expected: list[list[Any]]) -> None:
    assert schedule(text, 10) == tuple(Scheduled(*pair) for pair in expected)


@cases("schedule_hires_base10_hr6")
def test_the_second_pass_is_that_of_the_web_ui(text: str, expected: list[list[Any]]) -> None:
    assert schedule(text, 10, hires_steps=6) == tuple(Scheduled(*pair) for pair in expected)


@cases("schedule_old_rule_10_steps")
def test_the_old_rule_is_that_of_the_web_ui(text: str, expected: list[list[Any]]) -> None:
    assert schedule(text, 10, old=True) == tuple(Scheduled(*pair) for pair in expected)
