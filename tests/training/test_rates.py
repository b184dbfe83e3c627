"""Learning rates: up in the warm-up, down at the end, never above what was asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.training.ema import Average, decay_at
from sfumato.training.rates import RATES, factor

NAMES = [rate.name for rate in RATES]


@given(st.sampled_from(NAMES), st.integers(1, 500), st.integers(0, 50), st.floats(0, 1))
def test_factors_lie_between_nothing_and_all(
    name: str, steps: int, warmup: int, decay: float
) -> None:
    found = [factor(name, step, steps, warmup=warmup, decay=decay) for step in range(steps)]
    assert all(0 <= value <= 1 for value in found)
    assert found[0] > 0


@pytest.mark.parametrize("name", NAMES)
def test_warm_up_rises_in_a_line(name: str) -> None:
    found = [factor(name, step, 100, warmup=9) for step in range(9)]
    assert found == pytest.approx([(step + 1) / 10 for step in range(9)])


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_curves_fall_to_nothing(name: str) -> None:
    found = [factor(name, step, 100) for step in range(101)]
    assert found == sorted(found, reverse=True)
    assert (found[0], found[50], found[100]) == pytest.approx((1, 0.5, 0))


def test_a_plateau_that_is_extended_stays_up_until_it_decays() -> None:
    assert all(factor("plateau", step, 100) == 1 for step in range(75))
    assert factor("plateau", 100, 100) == 0
    assert factor("plateau", 74, 100) == factor("plateau", 74, 200) == 1


def test_the_average_warms_up_as_the_original_trainers() -> None:
    assert decay_at(1, 0.999) == pytest.approx(2 / 11)
    assert decay_at(10**6, 0.999) == 0.999


def test_the_average_follows_what_it_averages() -> None:
    import torch

    weight = torch.zeros(2, dtype=torch.bfloat16)
    average = Average({"w": weight}, 0.9)
    weight += 1
    for _ in range(400):
        average.update({"w": weight})
    assert average.weights["w"].dtype == torch.float32
    assert average.weights["w"].tolist() == pytest.approx([1, 1])
    assert average.updates == 400
