"""Merge methods beside those of sd-mecha, tensor by tensor, and a whole file by its formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mergeable import arrays, write
from sfumato.operations.merging.merge import merge
from sfumato.operations.merging.methods import linear, rotation, similar, sparse, spherical
from small_models import IDS

SHAPES = [(30, 16), (8, 6, 3, 3), (40,)]


def theirs(name: str) -> Any:  # noqa: ANN401 - it carries no types
    pytest.importorskip("sd_mecha")
    from sd_mecha.extensions.merge_methods import resolve  # pyright: ignore

    return resolve(name).__wrapped__  # pyright: ignore


def keyed(*tensors: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """As those of their methods take tensors that decide themselves what to read."""
    return [{"w": tensor} for tensor in tensors]


def randoms(count: int, shape: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def same(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return torch.allclose(found, wanted, atol=2e-6)


every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@every_shape
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, -0.5])
def test_a_weighted_sum_is_theirs(shape: tuple[int, ...], alpha: float) -> None:
    a, b = randoms(2, shape)
    wanted = theirs("weighted_sum")(*keyed(a, b), alpha=torch.tensor(alpha), key="w")
    assert same(linear.weighted_sum(a.clone(), b.clone(), alpha=alpha), wanted)


@every_shape
def test_an_added_difference_is_theirs(shape: tuple[int, ...]) -> None:
    a, b, c = randoms(3, shape)
    difference = theirs("subtract")(b, c)
    wanted = theirs("add_difference")(*keyed(a, difference), alpha=torch.tensor(0.8), key="w")
    assert same(linear.add_difference(a.clone(), b.clone(), c.clone(), alpha=0.8), wanted)


@every_shape
def test_a_slerp_is_theirs(shape: tuple[int, ...]) -> None:
    a, b = randoms(2, shape)
    wanted = theirs("slerp")(a, b, alpha=torch.tensor(0.3))
    assert same(spherical.slerp(a.clone(), b.clone(), alpha=0.3), wanted)


@every_shape
def test_a_mean_of_several_is_theirs(shape: tuple[int, ...]) -> None:
    models = randoms(4, shape)
    wanted = theirs("n_average")(*keyed(*models), key="w")
    assert same(linear.sum(*(model.clone() for model in models)), wanted)


@every_shape
def test_the_part_at_right_angles_is_theirs(shape: tuple[int, ...]) -> None:
    a, b, c = randoms(3, shape)
    wanted = a + 0.7 * theirs("perpendicular_component")(a - c, b - c)
    assert same(spherical.add_perpendicular(a.clone(), b.clone(), c.clone(), alpha=0.7), wanted)


@every_shape
def test_a_train_difference_is_theirs(shape: tuple[int, ...]) -> None:
    a, b, c = randoms(3, shape)
    mask = theirs("train_difference_mask")(a, b, c, alpha=torch.tensor(0.6))
    found = similar.train_difference(a.clone(), b.clone(), c.clone(), alpha=0.6)
    assert same(found, a + mask * (b - c))


@every_shape
@pytest.mark.parametrize("mode", ["a", "b"])
def test_cosine_modes_are_theirs(shape: tuple[int, ...], mode: str) -> None:
    a, b = randoms(2, shape)
    wanted = theirs(f"add_cosine_{mode}")(a, b, alpha=torch.tensor(0.1))
    ours = {"a": similar.cosine_a, "b": similar.cosine_b}[mode]
    assert same(ours(a.clone(), b.clone(), alpha=0.1), wanted)


@every_shape
def test_ties_is_theirs(shape: tuple[int, ...]) -> None:
    base, b, c, d = randoms(4, shape)
    count = base.numel()
    kept = count - max(int((1 - 0.3) * count), 1) + 1  # they keep one more than the share
    changes = (b - base, c - base, d - base)
    wanted = base + 0.9 * theirs("ties_sum")(*changes, k=0.3, vote_sgn=True)
    models = (b.clone(), c.clone(), d.clone())
    assert same(sparse.ties(base.clone(), *models, density=kept / count, scale=0.9), wanted)


def test_a_rotation_is_theirs() -> None:
    a, b = (x - x.mean(0) for x in randoms(2, (30, 16)))
    wanted = theirs("rotate")(
        *keyed(a, b), alignment=0.0, alpha=torch.tensor(0.4), key="w", cache={"w": {}}
    )
    assert torch.allclose(rotation.rotate(a.clone(), b.clone(), alpha=0.4), wanted, atol=1e-4)


def test_a_whole_file_is_merged_by_their_formula(tmp_path: Path) -> None:
    a, b, c = write(tmp_path, "a", "b", "c")
    merge([a, b, c], tmp_path / "m.safetensors", method="add-difference", vae="merge", alpha=0.8)
    merge([a, b], tmp_path / "n.safetensors", vae="merge", alpha=0.3)
    x, y, z = (arrays(path) for path in (a, b, c))
    added, summed = arrays(tmp_path / "m.safetensors"), arrays(tmp_path / "n.safetensors")
    for name in (name for name in x if name != IDS):
        p, q, r = (torch.as_tensor(side[name].copy()) for side in (x, y, z))
        wanted = theirs("weighted_sum")(*keyed(p, q), alpha=torch.tensor(0.3), key="w")
        assert same(torch.as_tensor(summed[name].copy()), wanted)
        assert same(torch.as_tensor(added[name].copy()), p + 0.8 * theirs("subtract")(q, r))
