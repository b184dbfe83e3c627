"""The page on merging says what the code says, and its recipes can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import methods_table
from sfumato.operations.merging.recipe_file import parse_recipe
from sfumato.operations.merging.registry import METHODS

PAGE = (Path(__file__).parents[3] / "docs" / "merging.md").read_text("utf-8")


def test_the_tables_are_those_of_the_code() -> None:
    assert methods_table.main(["--check"]) == 0, "run scripts/methods_table.py"


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_and_option_is_explained(method: object) -> None:
    assert method.text.endswith(".")  # pyright: ignore
    assert all(option.text for option in method.options)  # pyright: ignore


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
def test_the_recipes_of_the_page_are_recipes(text: str) -> None:
    assert parse_recipe(text, Path).root.inputs
