"""The order of pictures: all of them in every epoch, and one size to a batch."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sfumato.training.data.order import Order

GROUPS = st.lists(st.integers(0, 3), min_size=1, max_size=30)


@given(GROUPS, st.integers(1, 7), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_draws_every_picture_in_batches_of_one_size(
    groups: list[int], batch: int, seed: int, epoch: int
) -> None:
    order = Order(groups, [1] * len(groups), batch, seed)
    draws = [order.at(epoch * order.batches + index) for index in range(order.batches)]
    assert {draw.item for row in draws for draw in row} == set(range(len(groups)))
    assert all(len(row) == batch for row in draws)
    assert all(len({groups[draw.item] for draw in row}) == 1 for row in draws)


@given(GROUPS, st.integers(1, 4))
def test_a_picture_is_drawn_twice_only_to_fill_a_batch(groups: list[int], batch: int) -> None:
    order = Order(groups, [1] * len(groups), batch, 0)
    counts = Counter(draw.item for index in range(order.batches) for draw in order.at(index))
    sizes = Counter(groups)
    extra = sum(-(-size // batch) * batch - size for size in sizes.values())
    assert sum(counts.values()) == len(groups) + extra


@given(GROUPS, st.integers(1, 5))
def test_samples_are_numbered_through_the_run(groups: list[int], batch: int) -> None:
    order = Order(groups, [1] * len(groups), batch, 0)
    numbers = [draw.sample for index in range(9) for draw in order.at(index)]
    assert numbers == list(range(9 * batch))


def test_any_batch_may_be_asked_for_first() -> None:
    groups = [0, 1] * 5
    forward, backward = (Order(groups, [1] * 10, 3, 4) for _ in range(2))
    rows = [forward.at(index) for index in range(12)]
    assert [backward.at(index) for index in reversed(range(12))] == rows[::-1]


def test_repeats_are_drawn_as_often() -> None:
    order = Order([0] * 3, [1, 2, 3], 1, 0)
    counts = Counter(draw.item for index in range(order.batches) for draw in order.at(index))
    assert counts == {0: 1, 1: 2, 2: 3}


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [Order([0] * 20, [1] * 20, 1, seed) for seed in (0, 1)]
    epochs = {
        tuple(order.at(epoch * 20 + index)[0].item for index in range(20))
        for order in orders
        for epoch in range(3)
    }
    assert len(epochs) == 6
