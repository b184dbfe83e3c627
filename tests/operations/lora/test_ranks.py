"""How many ranks each layer gets."""

from __future__ import annotations

from itertools import product

import pytest

from sfumato.errors import UsageError
from sfumato.operations.lora.ranks import RULES, Spectrum, wish

LAYERS = [
    Spectrum([4.0, 2.0, 1.0, 0.5], 22.0, 10),
    Spectrum([3.0, 3.0, 0.1], 18.01, 30),
    Spectrum([0.2], 0.04, 5),
]


def left(ranks: tuple[int, ...] | list[int]) -> float:
    """‖ΔW − what is kept‖² over all layers."""
    kept = (sum(v * v for v in x.values[:r]) for x, r in zip(LAYERS, ranks, strict=True))
    return sum(layer.square for layer in LAYERS) - sum(kept)


def test_a_number_is_for_every_layer_that_has_so_many() -> None:
    assert wish(2).choose(LAYERS, 4) == wish("2").choose(LAYERS, 4) == [2, 2, 1]


def test_energy_takes_the_fewest_ranks_that_hold_the_share() -> None:
    assert wish("energy:0.9").choose(LAYERS, 4) == [2, 2, 1]
    assert wish("energy:72%").choose(LAYERS, 4) == [1, 2, 1]


def test_an_error_is_the_root_of_what_energy_leaves() -> None:
    assert wish("error:0.4").choose(LAYERS, 4) == wish("energy:0.84").choose(LAYERS, 4)


def test_a_share_that_no_rank_reaches_takes_all() -> None:
    assert wish("energy:0.9999").choose(LAYERS, 4)[0] == 4  # a part of ‖ΔW‖² is beyond its values


def test_a_ratio_is_to_the_largest_value() -> None:
    assert wish("ratio:4").choose(LAYERS, 4) == [3, 2, 1]


@pytest.mark.parametrize("numbers", [0, 9, 10, 24, 30, 55, 70, 1000])
def test_a_size_is_kept_and_spent_where_it_is_worth_most(numbers: int) -> None:
    ranks = wish(f"size:{max(1, 4 * numbers)}").choose(LAYERS, 4)
    spent = sum(r * layer.cost for r, layer in zip(ranks, LAYERS, strict=True))
    assert spent <= numbers
    every = product(*(range(len(layer.values) + 1) for layer in LAYERS))
    affordable = [
        r for r in every if sum(n * x.cost for n, x in zip(r, LAYERS, strict=True)) <= spent
    ]
    one = max(layer.values[0] ** 2 for layer in LAYERS)  # what a rank that does not fit is worth
    assert left(ranks) <= min(map(left, affordable)) + (one if numbers == 70 else 1e-9)


def test_sizes_have_units() -> None:
    assert wish("size:1.5MB").number == 1.5e6 and wish("size:2 KiB").number == 2048


@pytest.mark.parametrize("text", ["64", "energy:0.95", "error:0.1", "ratio:20", "size:40000000"])
def test_what_a_recipe_says_asks_for_the_same(text: str) -> None:
    assert wish(text).text == text and wish(wish(text).text) == wish(text)


@pytest.mark.parametrize(
    "text", ["0", "-4", "2.5", "64MB", "energy:1", "energy:0", "error:120%", "energi:0.9", "x", ":"]
)
def test_what_makes_no_sense_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match=r"^rank .*: (expected|no such rule; nearest: \w)"):
        wish(text)


def test_every_rule_says_what_its_number_means() -> None:
    assert len({rule.meaning for rule in RULES}) == len(RULES)
