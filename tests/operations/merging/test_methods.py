"""Each formula against the slow way of writing it, and against what its paper promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from sfumato.operations.merging.chance import Draws, dropped, dropped_by_rank, seeded
from sfumato.operations.merging.methods import linear, rotation, similar, sparse, spherical
from sfumato.operations.merging.selection import smallest_kept
from sfumato.operations.merging.sums import SLICE, inner

SHAPE = (12, 40)


def randoms(count: int, *shape: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape or SHAPE, generator=generator) for _ in range(count)]


def close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return torch.allclose(found, wanted, atol=1e-5)


def test_inner_products_are_those_of_float64() -> None:
    a, b = randoms(2, SLICE + 7)
    assert math.isclose(inner(a, b), float((a.double() * b.double()).sum()), rel_tol=1e-9)


@given(
    some.lists(some.floats(-10, 10, width=32), min_size=1, max_size=60),
    some.floats(0, 1),
)
@settings(max_examples=100, deadline=None)
def test_as_many_numbers_are_kept_as_asked_for(values: list[float], density: float) -> None:
    tensor = torch.tensor(values)
    kept = int((tensor.abs() >= smallest_kept(tensor, density)).sum())
    wanted = round(density * len(values))
    least = sorted(tensor.abs().tolist(), reverse=True)[wanted - 1] if wanted else math.inf
    assert kept == (sum(x >= least for x in tensor.abs().tolist()) if wanted else 0)


def test_ties_is_what_the_paper_says() -> None:
    base, b, c = randoms(3)
    found = sparse.ties(base.clone(), b.clone(), c.clone(), density=0.3, scale=0.8)
    changes: list[torch.Tensor] = []
    for model in (b, c):
        change = model - base
        order = change.abs().flatten().sort(descending=True).values
        least = order[round(0.3 * change.numel()) - 1]
        changes.append(torch.where(change.abs() >= least, change, 0))
    sign = torch.stack(changes).sum(0).sign()
    agree = torch.stack([(x.sign() == sign) & (x != 0) for x in changes])
    mean = (torch.stack(changes) * agree).sum(0) / agree.sum(0).clamp(min=1)
    assert close(found, base + 0.8 * mean)


def test_ties_of_one_whole_model_is_that_model() -> None:
    base, b = randoms(2)
    assert close(sparse.ties(base, b.clone(), density=1.0, scale=1.0), b)


def test_dropping_keeps_the_expected_change() -> None:
    (change,) = randoms(1, 400_000)
    change.add_(1)
    found = dropped(change.clone(), 0.75, seeded(3, "w"), 0)
    assert abs(float((found == 0).float().mean()) - 0.75) < 0.005
    assert abs(float(found.mean()) - 1) < 0.02
    left = found != 0
    assert close(found[left], change[left] * 4)


def test_dropping_nothing_is_nothing_and_dropping_all_is_the_base() -> None:
    base, b, c = randoms(3)
    everything = sparse.dare(base.clone(), b.clone(), c.clone(), drop=0.0, seed=1)
    assert close(everything, (b + c) / 2)
    assert torch.equal(sparse.dare(base.clone(), b, c, drop=1.0, seed=1), base)


def test_what_is_dropped_depends_on_the_seed_the_name_and_the_model() -> None:
    draws = [
        Draws(seeded(seed, name), number).below(64, 0.5).tolist()
        for seed, name, number in ((0, "a", 0), (0, "a", 1), (0, "b", 0), (1, "a", 0))
    ]
    assert len({str(draw) for draw in draws}) == 4
    assert draws[0] == Draws(seeded(0, "a"), 0).below(64, 0.5).tolist()


def test_the_draws_are_the_same_on_every_machine() -> None:
    assert seeded(7, "model.w") == 10750744267992260838
    assert Draws(seeded(7, "model.w"), 0).below(16, 0.5).astype(int).tolist() == PINNED


PINNED = [0, 1, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0, 0, 0, 1, 1]


def test_small_changes_are_dropped_more_often() -> None:
    (change,) = randoms(1, 200, 2000)
    found = dropped_by_rank(change.clone(), 0.5, 0.4, seeded(0, "w"), 0)
    gone = (found == 0).float()
    ranks = change.abs().argsort(1).argsort(1)
    small, large = gone[ranks < 200].mean(), gone[ranks >= 1800].mean()
    assert abs(float(gone.mean()) - 0.5) < 0.01
    assert abs(float(small) - 0.68) < 0.02 and abs(float(large) - 0.32) < 0.02


def test_slerp_turns_evenly_and_keeps_length() -> None:
    a, b = randoms(2)
    b *= a.norm() / b.norm()
    third = spherical.slerp(a.clone(), b.clone(), alpha=1 / 3)
    assert math.isclose(float(third.norm()), float(a.norm()), rel_tol=1e-5)

    def angle(x: torch.Tensor, y: torch.Tensor) -> float:
        return math.acos(float((x * y).sum() / x.norm() / y.norm()))

    assert math.isclose(angle(a, third), angle(a, b) / 3, rel_tol=1e-4)


def test_only_what_is_at_right_angles_is_added() -> None:
    a, b, c = randoms(3)
    added = spherical.add_perpendicular(a.clone(), b.clone(), c.clone(), alpha=1.0) - a
    assert abs(inner(added, a - c)) < 1e-3
    assert close(spherical.add_perpendicular(a.clone(), a.clone(), c.clone(), alpha=1.0), a)


def test_a_train_difference_is_what_supermerger_computes() -> None:
    a, b, c = randoms(3)
    found = similar.train_difference(a.clone(), b.clone(), c.clone(), alpha=0.5)
    x, d = b - c, (b - a).abs()
    assert close(found, a + 1.8 * 0.5 * x * d / (x.abs() + d))


def test_cosine_modes_take_the_share_of_their_similarity() -> None:
    a, b = randoms(2)
    column = torch.nn.functional.cosine_similarity(a, b, dim=0)
    k = column.clamp(0, 1)
    assert close(similar.cosine_a(a.clone(), b.clone(), alpha=0.0), a * k + b * (1 - k))
    whole = (a * b).sum() / a.norm() / b.norm()
    k = ((column + whole) / 2 - 0.1).clamp(0, 1)
    assert close(similar.cosine_b(a.clone(), b.clone(), alpha=0.1), a * k + b * (1 - k))


@pytest.mark.parametrize("method", [similar.cosine_a, similar.cosine_b])
def test_cosine_modes_end_at_b(method: similar.Blend) -> None:
    a, b = randoms(2)
    assert close(method(a.clone(), b.clone(), alpha=2.0), b)


def test_a_model_that_was_only_turned_is_turned_back() -> None:
    (a,) = randoms(1, 40, 12)
    turn = torch.as_tensor(np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0])
    turn[:, 0] *= torch.det(turn).sign()
    b = (a - a.mean(0)) @ turn.float() + a.mean(0)
    found = rotation.rotate(a.clone(), b.clone(), alpha=0.5, turn=0.0)
    assert torch.allclose(found, a, atol=1e-4)
    there = rotation.rotate(a.clone(), b.clone(), alpha=0.5, turn=1.0)
    assert torch.allclose(there, b, atol=1e-4)


def test_two_half_turns_are_a_turn() -> None:
    (a,) = randoms(1, 40, 12)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0]
    turn[:, 0] *= np.sign(np.linalg.det(turn))
    b = a @ torch.as_tensor(turn.astype(np.float32))
    b += a.mean(0) - b.mean(0)
    half = rotation.rotate(a.clone(), b.clone(), alpha=0.0, turn=0.5) - a.mean(0)
    assert math.isclose(float(half.norm()), float((a - a.mean(0)).norm()), rel_tol=1e-4)
    x, y = a - a.mean(0), b - b.mean(0)
    assert abs(float((half * x).sum() - (half * y).sum())) < 1e-2 * float(x.norm() ** 2)


def test_all_directions_are_the_whole_difference() -> None:
    a, b, c = randoms(3)
    whole = rotation.add_low_rank(a.clone(), b.clone(), c.clone(), alpha=0.5, rank=11)
    exact = linear.add_difference(a.clone(), b.clone(), c.clone(), alpha=0.5)
    u, s, v = np.linalg.svd((b - c).numpy(), full_matrices=False)
    least = torch.as_tensor(s[11] * np.outer(u[:, 11], v[11]).astype(np.float32))
    assert torch.allclose(whole + 0.5 * least, exact, atol=1e-4)
