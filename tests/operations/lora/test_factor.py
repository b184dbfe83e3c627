"""Matrices as products of thin ones: the best of a rank, nearly that, and what is said of it."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import Tensor

from sfumato.operations.lora.factor import Factors, difference, factorise, of_product


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def falling(m: int, n: int, power: float) -> Tensor:
    """A matrix whose singular values fall as 1, 2⁻ᵖ, 3⁻ᵖ …"""
    left, _, right = torch.linalg.svd(random(m, n), full_matrices=False)
    return (left * torch.arange(1, min(m, n) + 1) ** -power) @ right


def product(found: Factors, rank: int) -> Tensor:
    up, down = found.halves(rank)
    return up @ down


def apart(found: Factors, rank: int, matrix: Tensor) -> float:
    return float((product(found, rank) - matrix).norm() / matrix.norm())


@pytest.mark.parametrize("shape", [(40, 40), (30, 70), (70, 30)])
def test_an_exact_factorisation_is_the_best_of_its_rank(shape: tuple[int, int]) -> None:
    matrix = falling(*shape, 0.5)
    found = factorise(matrix, 8, exact=True)
    tail = torch.linalg.svdvals(matrix.double())[8:]  # Eckart and Young
    assert apart(found, 8, matrix) == pytest.approx(float(tail.norm() / matrix.norm()), rel=1e-5)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_a_sketch_is_within_a_percent_of_the_best(power: float) -> None:
    matrix = random(120, 150) if not power else falling(120, 150, power)
    best = factorise(matrix, 6, exact=True).error(6)
    assert best <= factorise(matrix, 6).error(6) * (1 + 1e-5) <= best * 1.01


@pytest.mark.parametrize("exact", [True, False])
def test_the_stated_error_is_the_true_one_at_every_rank(exact: bool) -> None:
    matrix = falling(90, 100, 1.0)
    found = factorise(matrix, 8, exact=exact)
    for rank in (1, 4, 8):
        assert found.error(rank) == pytest.approx(apart(found, rank, matrix), rel=1e-4)


def test_a_sketch_finds_a_matrix_of_low_rank_whole() -> None:
    matrix = random(100, 4) @ random(4, 90, seed=1)
    found = factorise(matrix, 4)
    assert found.error(4) < 1e-6 and apart(found, 4, matrix) < 1e-6


def test_the_same_seed_gives_the_same_bits() -> None:
    matrix = falling(100, 100, 0.5)
    first, again, other = (factorise(matrix, 4, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.left, again.left) and torch.equal(first.right, again.right)
    assert not torch.equal(first.left, other.left)


def test_a_product_is_decomposed_without_being_multiplied_out() -> None:
    up, down = random(50, 12), random(12, 60, seed=1)
    found = of_product(up, down)
    whole = torch.linalg.svdvals(up @ down)[:12]
    torch.testing.assert_close(found.values, whole, rtol=1e-5, atol=1e-5)
    assert apart(found, 12, up @ down) < 1e-6
    assert found.error(5) == pytest.approx(float(whole[5:].norm() / whole.norm()), rel=1e-4)


def test_more_ranks_than_sides_are_no_obstacle() -> None:
    up, down = random(5, 12), random(12, 60, seed=1)
    assert of_product(up, down).rank == 5
    assert factorise(up @ down, 64).rank == 5


def test_differences_of_products_are_told_without_multiplying() -> None:
    first = random(30, 3), random(3, 40, seed=1)
    second = random(30, 5, seed=2), random(5, 40, seed=3)
    one, two = first[0] @ first[1], second[0] @ second[1]
    square, whole = difference(first, second)
    assert sqrt(square) == pytest.approx(float((one - two).norm()), rel=1e-5)
    assert sqrt(whole) == pytest.approx(float(one.norm()), rel=1e-5)
    assert difference(first, first)[0] < 1e-12


def test_nothing_is_a_product_of_nothing() -> None:
    found = factorise(torch.zeros(40, 50), 4)
    assert found.error(0) == found.error(4) == 0 and not product(found, 4).any()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        factorise(torch.tensor([[1.0, number]]), 1)
    with pytest.raises(ValueError, match="rank of 0"):
        factorise(torch.ones(2, 2), 0)
