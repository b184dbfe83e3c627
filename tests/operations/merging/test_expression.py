"""Sums of models as people type them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from sfumato.errors import UsageError
from sfumato.operations.merging.expression import is_expression, parse
from sfumato.operations.merging.tree import Leaf


def weights(text: str) -> dict[str, float]:
    found = parse(text, lambda name: Leaf(name, Path(name)))
    values = found.options["weights"]
    assert isinstance(values, list)
    labels = [leaf.label for leaf in found.inputs if isinstance(leaf, Leaf)]
    return dict(zip(labels, values, strict=True))  # pyright: ignore


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0.7*A + 0.3*B", {"A": 0.7, "B": 0.3}),
        ("A + 0.8*(B - C)", {"A": 1.0, "B": 0.8, "C": -0.8}),
        ("A+0.8*(B-C)", {"A": 1.0, "B": 0.8, "C": -0.8}),
        ("A - -0.5*B", {"A": 1.0, "B": 0.5}),
        ("-0.5*A + 1.5*B", {"A": -0.5, "B": 1.5}),
        ("(A + B + C) / 3", {"A": 1 / 3, "B": 1 / 3, "C": 1 / 3}),
        ("0.5*(A + 2*(B - A)) + 0.5*A", {"A": 0.0, "B": 1.0}),
        ("A*0.25 + B*.75", {"A": 0.25, "B": 0.75}),
        ("1e-1*A + 9E-1*B", {"A": 0.1, "B": 0.9}),
        ("0.5*models/v1-5.safetensors + 0.5*ink+wash-v2", {
            "models/v1-5.safetensors": 0.5, "ink+wash-v2": 0.5}),
        ("0.5*my own model.ckpt + 0.5*'a (1).ckpt'", {"my own model.ckpt": 0.5, "a (1).ckpt": 0.5}),
        ("0.5*bob's + 0.5*2024 dusk 2", {"bob's": 0.5, "2024 dusk 2": 0.5}),
        ("0.5*A-Zovya + 0.5*B", {"A-Zovya": 0.5, "B": 0.5}),
        ("2 * 0.25 * A + (1 - 0.5) * B", {"A": 0.5, "B": 0.5}),
    ],
)  # fmt: skip
def test_a_sum_has_one_weight_for_each_model(text: str, wanted: dict[str, float]) -> None:
    assert weights(text) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A * B", "multiplies two models"),
        ("1 / A", "divides"),
        ("A / 0", "divides"),
        ("A + 1", "adds the number 1"),
        ("0.5*", "the end was not expected"),
        ("(A + B", "the end was not expected"),
        ("A + B)", "was not expected"),
        ("+ + +", "was not expected"),
        ("2 * 3", "adds the number 6"),
        ("A * 'B", "multiplies two models"),
        ("(" * 200 + "A" + ")" * 200, "at most 50 parentheses"),
        ("A" * 20_000, "at most 10000 characters"),
    ],
)
def test_what_makes_no_model_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        weights(text)


@pytest.mark.parametrize(
    "name",
    ["v1-5", "sd+ink", "my-model v2.safetensors", "a/b-c.ckpt", "hash:abcdef", "A", "A-Zovya"],
)
def test_a_models_name_is_no_expression(name: str) -> None:
    assert not is_expression(name)


@given(some.text("AB01.5 +-*/()'\"e", max_size=30))
@settings(max_examples=300, deadline=None)
def test_no_text_is_more_than_a_sum_or_a_refusal(text: str) -> None:
    with suppress(UsageError):
        weights(text)
