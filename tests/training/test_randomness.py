"""Random numbers: functions of seed, purpose and place, and of nothing else."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
import torch

from sfumato.training.randomness import Stream, generator, normal, number, shuffled, uniform

STREAMS: tuple[Stream, ...] = get_args(Stream)


def test_the_same_place_gives_the_same_numbers_whatever_was_drawn_before() -> None:
    first = normal((5,), 7, "noise", 3)
    torch.manual_seed(0)
    torch.rand(100)
    normal((5,), 7, "noise", 2)
    assert torch.equal(normal((5,), 7, "noise", 3), first)


def test_drawing_leaves_the_generator_of_torch_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    normal((4,), 0, "noise", 0)
    shuffled(10, 0, "order", 0)
    assert torch.equal(torch.rand(3), expected)


def test_streams_seeds_and_places_are_independent() -> None:
    places = [
        (seed, stream, place) for seed in range(4) for stream in STREAMS for place in range(9)
    ]
    assert len({number(*place) for place in places}) == len(places)
    assert number(1, "noise", 12) != number(1, "noise", 1, 2)
    assert number(11, "noise", 2) != number(1, "noise", 12)


@pytest.mark.parametrize("stream", STREAMS)
def test_neighbouring_places_are_not_correlated(stream: Stream) -> None:
    rows = torch.stack([normal((2000,), 0, stream, place) for place in range(6)])
    correlation = torch.corrcoef(rows) - torch.eye(6)
    assert correlation.abs().max().item() < 0.09


def test_streams_are_not_correlated_at_one_place() -> None:
    rows = torch.stack([normal((2000,), 3, stream, 8) for stream in STREAMS])
    assert (torch.corrcoef(rows) - torch.eye(len(STREAMS))).abs().max().item() < 0.09


def test_uniform_numbers_fill_their_range_evenly() -> None:
    drawn = sorted(uniform(0, "flip", place) for place in range(2000))
    assert drawn[0] >= 0 and drawn[-1] < 1
    assert max(b - a for a, b in pairwise(drawn)) < 0.01
    assert abs(sum(drawn) / 2000 - 0.5) < 0.03


def test_numbers_fit_a_generator() -> None:
    assert all(0 <= number(2**63, "crop", place) < 2**63 for place in range(100))
    assert generator(2**63, "crop", 1).initial_seed() == number(2**63, "crop", 1)


def test_these_numbers_never_change() -> None:
    # States on users' disks go on with them.
    assert number(0, "noise", 0) == 9144587515262914129
    assert shuffled(5, 1, "order", 2) == [4, 3, 1, 0, 2]
