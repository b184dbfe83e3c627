"""Laws of noise: it depends on the seed of its picture, and on nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sfumato.engine.noise.brownian import BrownianTree, brownian
from sfumato.engine.noise.generators import draw_seed, generator
from sfumato.engine.noise.philox import normal
from sfumato.engine.noise.variation import PictureNoise, paste, picture_seeds, slerp
from sfumato.engine.request import Rng, Variation

SHAPE = (4, 6, 10)
LEVELS = torch.tensor([14.6, 3.0, 0.5, 0.03, 0.0])
every_source = pytest.mark.parametrize("rng", ["NV", "CPU"])


@every_source
@pytest.mark.parametrize("variation", [Variation(), Variation(9, 0.4), Variation(9, 0.4, (64, 96))])
def test_a_picture_of_a_batch_has_the_noise_it_has_alone(rng: Rng, variation: Variation) -> None:
    both = PictureNoise([5, 6], [9, 10], variation, rng, 31337)
    alone = PictureNoise([6], [10], variation, rng, 31337)
    assert torch.equal(both.first(SHAPE)[1], alone.first(SHAPE)[0])
    assert torch.equal(both.next()[1], alone.next()[0])
    assert torch.equal(both.next()[1], alone.next()[0])


@every_source
def test_a_noise_seed_delta_changes_all_noise_but_the_first(rng: Rng) -> None:
    plain, moved = (PictureNoise([5], rng=rng, ensd=ensd) for ensd in (0, 31337))
    assert torch.equal(plain.first(SHAPE), moved.first(SHAPE))
    following = moved.next()
    assert not torch.equal(plain.next(), following)
    assert torch.equal(following[0], generator(5 + 31337, rng).randn(SHAPE))


def test_variations_of_no_and_of_full_strength_are_the_two_noises() -> None:
    low, high = (generator(seed).randn(SHAPE) for seed in (1, 2))
    assert torch.allclose(slerp(0.0, low, high), low, atol=1e-6)
    assert torch.allclose(slerp(1.0, low, high), high, atol=1e-5)


def test_noises_that_are_nearly_one_are_mixed_in_a_line() -> None:
    low = generator(1).randn(SHAPE)
    assert torch.allclose(slerp(0.25, low, low * 2), low * 1.25)
    assert torch.equal(slerp(0.5, low, low), low)


def test_seeds_count_up_and_those_of_variations_stay() -> None:
    assert picture_seeds(7, 3, 2) == ((7, 8), (3, 4))
    assert picture_seeds(7, 3, 2, strength=0.1) == ((7, 7), (3, 4))


@pytest.mark.parametrize(("size", "edges"), [((2, 4), (2, 3)), ((8, 14), (1, 2))])
def test_noise_of_another_size_lies_in_the_middle(
    size: tuple[int, int], edges: tuple[int, int]
) -> None:
    block, whole = generator(1).randn((4, *size)), generator(2).randn(SHAPE)
    pasted = paste(block, whole)
    if size < SHAPE[1:]:
        top, left = edges
        inside = pasted[:, top : top + size[0], left : left + size[1]]
        assert torch.equal(inside, block)
        assert torch.equal(pasted[:, 0], whole[:, 0])
    else:
        top, left = edges
        assert torch.equal(pasted, block[:, top : top + SHAPE[1], left : left + SHAPE[2]])


def test_seed_resize_keeps_the_middle_of_the_old_picture() -> None:
    small = PictureNoise([5], rng="NV").first((4, 4, 4))[0]
    large = PictureNoise([5], variation=Variation(resize_from=(32, 32)), rng="NV").first(SHAPE)[0]
    assert torch.equal(large[:, 1:5, 3:7], small)
    plain = generator(5, "NV").randn(SHAPE)
    assert torch.equal(large[:, 0], plain[:, 0])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.03, 14.6), min_size=3, max_size=3, unique=True))
def test_brownian_increments_add_up_in_any_order(times: list[float]) -> None:
    low, middle, high = sorted(round(time, 6) for time in times)

    def draw(seed: int) -> Tensor:
        return generator(seed).randn((3,))

    asked_whole, asked_parts = (BrownianTree(1, 0.03, 14.6, draw) for _ in range(2))
    parts = asked_parts.increment(middle, high) + asked_parts.increment(low, middle)
    assert torch.allclose(asked_whole.increment(low, high), parts, atol=1e-4)


def test_brownian_motion_has_the_variance_of_its_time() -> None:
    draw = brownian(range(400), (8,), LEVELS)
    unit = draw(torch.tensor(3.0), torch.tensor(0.5))
    assert float(unit.std()) == pytest.approx(1.0, abs=0.03)
    other = draw(torch.tensor(0.5), torch.tensor(0.03))
    assert float((unit * other).mean()) == pytest.approx(0.0, abs=0.05)


@every_source
def test_brownian_motion_of_a_picture_is_its_own(rng: Rng) -> None:
    step = LEVELS[0], LEVELS[1]
    both = brownian([5, 6], SHAPE, LEVELS, rng)(*step)
    assert torch.equal(both[1], brownian([6], SHAPE, LEVELS, rng)(*step)[0])


def test_steps_outside_the_levels_are_brought_inside() -> None:
    draw = brownian([5], SHAPE, LEVELS)
    assert torch.equal(draw(torch.tensor(20.0), torch.tensor(15.0)), torch.zeros(1, *SHAPE))


def test_any_integer_is_a_seed() -> None:
    for seed in (-1, -(2**70), 0, 2**64 - 1, 2**64 + 5):
        assert normal(seed, 0, 4).dtype == "float32"
        assert generator(seed, "CPU").randn((2,)).shape == (2,)
    assert 0 <= draw_seed() < 4294967294
