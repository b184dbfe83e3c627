"""Two threads, one order."""

from __future__ import annotations

from collections.abc import Iterator
from time import sleep

import pytest

from sfumato.containers.parallel import AHEAD, in_order


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_at_first(number: int) -> int:
        sleep(0.002 if number % 3 == 0 else 0)
        return -number

    assert list(in_order(slow_at_first, range(30))) == [-number for number in range(30)]


def test_no_more_than_a_few_items_are_begun_before_they_are_wanted() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            begun.append(number)
            yield number

    results = in_order(abs, items())
    assert next(results) == 0
    assert len(begun) == AHEAD


def test_what_the_work_raises_is_raised_and_the_rest_is_left() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 3:
            raise ValueError("three")
        done.append(number)

    with pytest.raises(ValueError, match="three"):
        list(in_order(work, range(1000)))
    assert len(done) < 3 + 2 * AHEAD
