"""A fingerprint stays with the weights, and its distance says how far others are away."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from comparable import cast, small, stored, tuned
from sfumato.catalogue.fingerprint import COUNT, STEPS, Fingerprint
from sfumato.containers.arrays import Floats, array, tensor_from
from sfumato.containers.dtype import BF16, F8_E4M3, F16, DType
from sfumato.containers.tensor import Tensor
from sfumato.operations.comparing.fingerprints import fingerprints, sketch
from sfumato.operations.convert import convert
from sfumato.operations.prune import prune
from small_models import VAE_PREFIX
from toys import random_tensor


def floats(tensor: Tensor) -> Floats:
    return array(tensor).astype("<f4")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("whole") / "whole.safetensors", small())


@pytest.fixture(scope="module")
def known(whole: Path) -> tuple[Fingerprint, ...]:
    return fingerprints(whole)


def test_every_part_that_holds_weights_has_one(known: tuple[Fingerprint, ...]) -> None:
    assert [one.role for one in known] == ["unet", "vae", "text_encoder"]
    assert all(len(one.numbers) == COUNT and one.tensors for one in known)


@pytest.mark.parametrize("target", ["b.ckpt", "folder"])
def test_container_and_spelling_leave_it_alone(
    whole: Path, known: tuple[Fingerprint, ...], tmp_path: Path, target: str
) -> None:
    convert(whole, tmp_path / target)
    found = {one.role: one.code for one in fingerprints(tmp_path / target)}
    assert found == {one.role: one.code for one in known}


def test_pruning_and_order_leave_it_alone(
    whole: Path, known: tuple[Fingerprint, ...], tmp_path: Path
) -> None:
    turned = dict(reversed(small(ema=True).items()))
    prune(stored(tmp_path / "a.safetensors", turned), tmp_path / "b.safetensors", drop=("ema",))
    found = {one.role: one.numbers for one in fingerprints(tmp_path / "b.safetensors")}
    assert found == {one.role: one.numbers for one in known}


@pytest.mark.parametrize("dtype", [F16, BF16])
def test_a_cast_is_known_as_the_same(
    known: tuple[Fingerprint, ...], tmp_path: Path, dtype: DType
) -> None:
    found = fingerprints(stored(tmp_path / "b.safetensors", cast(small(), dtype)))
    assert [a.relation(b) for a, b in zip(known, found, strict=True)] == ["same"] * 3


def test_two_casts_of_one_model_are_known_as_the_same(tmp_path: Path) -> None:
    a, b = (
        fingerprints(stored(tmp_path / f"{dtype}.safetensors", cast(small(), dtype)))
        for dtype in (F16, BF16)
    )
    assert {x.relation(y) for x, y in zip(a, b, strict=True)} == {"same"}


def test_eight_bits_are_further_away_than_sixteen_and_still_known(
    known: tuple[Fingerprint, ...], tmp_path: Path
) -> None:
    found = fingerprints(stored(tmp_path / "b.safetensors", cast(small(), F8_E4M3)))
    assert known[1].relation(found[1]) == "same" and known[1].distance(found[1]) > 0.01


def test_rounding_on_the_way_is_told_from_rounding_in_the_file(
    known: tuple[Fingerprint, ...], tmp_path: Path
) -> None:
    there_and_back = {
        name: tensor_from(array(t)) if t.dtype == BF16 else t
        for name, t in cast(small(), BF16).items()
    }
    found = fingerprints(stored(tmp_path / "b.safetensors", there_and_back))
    assert known[0].relation(found[0]) == "rounded"


@pytest.mark.parametrize("amount", [0.006, 0.05, 0.3])
def test_the_distance_to_a_fine_tune_is_how_far_it_went(
    known: tuple[Fingerprint, ...], tmp_path: Path, amount: float
) -> None:
    found = fingerprints(stored(tmp_path / "b.safetensors", tuned(small(), amount, seed=1)))
    for a, b in zip(known, found, strict=True):
        assert a.relation(b) == "kin" and a.distance(b) == pytest.approx(amount, rel=0.35)


def test_strangers_are_told_from_kin(known: tuple[Fingerprint, ...], tmp_path: Path) -> None:
    model = {
        name: random_tensor(t.shape, seed=77_000 + number) if t.dtype.kind == "float" else t
        for number, (name, t) in enumerate(small().items())
    }
    found = fingerprints(stored(tmp_path / "b.safetensors", model))
    assert {a.relation(b) for a, b in zip(known, found, strict=True)} == {"strangers"}


def test_parts_that_lack_different_tensors_are_not_compared(
    known: tuple[Fingerprint, ...], tmp_path: Path
) -> None:
    vae = {n.removeprefix(VAE_PREFIX): t for n, t in small().items() if n.startswith(VAE_PREFIX)}
    del vae["encoder.conv_in.weight"]
    (found,) = fingerprints(stored(tmp_path / "vae.safetensors", vae))
    assert found.relation(known[1]) == "incomparable"


def test_a_scaled_tensor_is_another_one() -> None:
    tensor = random_tensor((64, 64))
    doubled = tensor_from(2 * floats(tensor))
    apart = sketch("w", tensor) - sketch("w", doubled)
    assert float(np.sqrt(np.mean(apart**2))) == pytest.approx(np.log(2))


def test_how_a_file_is_cut_into_pieces_does_not_count() -> None:
    tensor = random_tensor((70_001, 3))
    data = bytes(tensor.read())
    cuts = [0, 4, 400, 300_000, 300_004, len(data)]
    pieces = [data[a:b] for a, b in pairwise(cuts)]
    odd = Tensor(tensor.dtype, tensor.shape, tensor.read, lambda: iter(pieces))
    assert np.array_equal(sketch("w", tensor), sketch("w", odd))


def test_odd_numbers_give_a_fingerprint_all_the_same() -> None:
    values = np.array([[np.nan, np.inf, 1e38, 1.0], [0, 0, 1e38, -1e38]], np.float32)
    assert np.isfinite(sketch("w", tensor_from(values))).all()
    assert not sketch("w", tensor_from(np.zeros((3, 3), np.float32))).any()


def test_the_mean_squared_difference_of_sketches_is_that_of_the_tensors() -> None:
    a, b = (floats(random_tensor((200, 200), seed=seed)) for seed in (1, 2))
    near = tensor_from(a + np.float32(0.1) * b)
    means = [
        float(np.mean((sketch(str(n), tensor_from(a)) - sketch(str(n), near)) ** 2))
        for n in range(40)
    ]
    assert np.mean(means) == pytest.approx(0.01, rel=0.1)


def test_the_word_is_short_and_near_words_are_near_weights() -> None:
    one = Fingerprint("vae", "VAE", "vae", "F32", 9, tuple(range(-32 * 512, 32 * 512, 512)))
    assert len(one.word) == 19 and set(one.word) <= set("0123456789abcdef ")
    moved = tuple(number + STEPS // 100 for number in one.numbers)
    other = Fingerprint("vae", "VAE", "vae", "F32", 9, moved)
    assert one.distance(other) == pytest.approx(0.01, rel=0.03)
    assert sum(a != b for a, b in zip(one.word, other.word, strict=True)) <= 2


def test_no_two_parts_of_a_model_share_a_word(known: tuple[Fingerprint, ...]) -> None:
    assert all(a.word != b.word for a, b in combinations(known, 2))


def test_the_signs_are_the_same_in_every_version() -> None:
    """Fingerprints are kept: a change here needs another version number in `code`."""
    tensor = tensor_from(np.linspace(-1, 1, 4096, dtype=np.float32).reshape(64, 64))
    steps = np.rint(sketch("middle_block.0.in_layers.2.weight", tensor) * STEPS)
    assert np.abs(steps[:4] - [-13113, 15543, 9447, -13553]).max() <= 1
