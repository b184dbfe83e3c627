"""What holds for every merge: equal models stay as they are, nothing is lost or made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mergeable import arrays, write
from sfumato.containers.dtype import BF16, F16
from sfumato.containers.open import open_model
from sfumato.operations.merging.merge import merge
from sfumato.operations.merging.method import Method
from sfumato.operations.merging.registry import METHODS
from small_models import IDS, UNET, VAE_PREFIX
from toys import contents

every_method = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)


def inputs(method: Method, path: Path) -> list[Path]:
    return [path] * max(2, method.least)


@every_method
def test_equal_models_merge_to_themselves_bit_for_bit(method: Method, tmp_path: Path) -> None:
    (a,) = write(tmp_path, "a")
    merge(inputs(method, a), tmp_path / "m.safetensors", method=method.name, vae="merge")
    with open_model(a) as before, open_model(tmp_path / "m.safetensors") as after:
        assert contents(after) == contents(before)


@every_method
def test_a_half_model_stays_half_and_is_rounded_once(method: Method, tmp_path: Path) -> None:
    (a,) = write(tmp_path, "a", dtype=F16)
    merge(inputs(method, a), tmp_path / "m.safetensors", method=method.name)
    with open_model(a) as before, open_model(tmp_path / "m.safetensors") as after:
        assert contents(after) == contents(before)


@every_method
def test_a_merge_depends_on_nothing_but_its_inputs(method: Method, tmp_path: Path) -> None:
    paths = write(tmp_path, "a", "b", "c")[: max(2, method.least)]
    for name in ("m", "n"):
        merge(paths, tmp_path / f"{name}.safetensors", method=method.name)
    assert (tmp_path / "m.safetensors").read_bytes() == (tmp_path / "n.safetensors").read_bytes()


@pytest.mark.parametrize("method", ["add-difference", "train-difference", "add-low-rank"])
def test_a_difference_of_nothing_adds_nothing(method: str, tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    merge([a, b, b], tmp_path / "m.safetensors", method=method, alpha=0.7)
    with open_model(a) as before, open_model(tmp_path / "m.safetensors") as after:
        assert contents(after) == contents(before)


@pytest.mark.parametrize("method", ["weighted-sum", "slerp"])
def test_the_ends_of_a_slide_are_the_two_models(method: str, tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    for alpha, whose in ((0.0, a), (1.0, b)):
        path = tmp_path / f"{alpha}.safetensors"
        merge([a, b], path, method=method, alpha=alpha, vae="merge")
        found, wanted = arrays(path), arrays(whose)
        assert all(np.allclose(found[n], wanted[n], atol=1e-6) for n in wanted if n != IDS)


def test_a_weighted_sum_is_what_its_formula_says(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    merge([a, b], tmp_path / "m.safetensors", alpha=0.3)
    found, x, y = (arrays(path) for path in (tmp_path / "m.safetensors", a, b))
    for name in (n for n in x if n.startswith(UNET)):
        assert np.allclose(found[name], 0.7 * x[name] + 0.3 * y[name], atol=1e-6)
    assert all(np.array_equal(found[n], x[n]) for n in x if n.startswith(VAE_PREFIX))


def test_numbers_are_computed_in_float32_and_rounded_once(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b", dtype=BF16)
    merge([a, b], tmp_path / "m.safetensors", alpha=0.5, dtype="f32")
    merge([a, b], tmp_path / "n.safetensors", alpha=0.5, dtype="f16")
    wide, narrow = arrays(tmp_path / "m.safetensors"), arrays(tmp_path / "n.safetensors")
    assert all(
        np.array_equal(narrow[name], wide[name].astype(np.float16).astype(np.float32))
        for name in wide
    )


def test_a_sum_of_several_does_not_depend_on_their_order(tmp_path: Path) -> None:
    a, b, c = write(tmp_path, "a", "b", "c")
    merge([a, b, c], tmp_path / "m.safetensors", method="sum", weights=[0.5, 0.3, 0.2])
    merge([c, a, b], tmp_path / "n.safetensors", method="sum", weights=[0.2, 0.5, 0.3])
    found, other = arrays(tmp_path / "m.safetensors"), arrays(tmp_path / "n.safetensors")
    unet = [name for name in found if name.startswith(UNET)]
    assert all(np.allclose(found[name], other[name], atol=1e-6) for name in unet)
