"""What reading the numbers of a model shows, on toys in which one thing is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from sfumato.catalogue.numbers.averages import averaged_name, compare_averages
from sfumato.catalogue.numbers.buffers import position_ids, schedule
from sfumato.catalogue.numbers.health import SORTS, examine
from sfumato.catalogue.numbers.measure import measure
from sfumato.containers.arrays import from_float32
from sfumato.containers.dtype import (
    BF16,
    C64,
    F4,
    F8_E4M3,
    F8_E5M2,
    F16,
    F32,
    F64,
    I64,
    DType,
)  # fmt: skip
from sfumato.containers.tensor import Buffer, Tensor
from sfumato.errors import Damaged

IDS = "cond_stage_model.transformer.text_model.embeddings.position_ids"

FLOATS = (F64, F32, BF16, F16, F8_E5M2)


def tensor(values: object, dtype: DType = F32) -> Tensor:
    """A tensor of `values`, read in pieces of eight numbers."""
    array = np.asarray(values)
    if dtype is F64 or dtype.kind != "float":
        data = bytes(array.astype({F64: "<f8", I64: "<i8", C64: "<c8"}[dtype]).tobytes())
    else:
        data = bytes(from_float32(array.astype("<f4"), dtype))
    step = dtype.bits

    def pieces() -> Iterator[Buffer]:
        yield from (data[at : at + step] for at in range(0, len(data), step))

    return Tensor(dtype, array.shape, lambda: data, pieces)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape)


def sorts(*values: Tensor) -> list[str]:
    model = {f"t{number}": value for number, value in enumerate(values)}
    return [finding.sort for finding in examine(model).findings]


@pytest.mark.parametrize("dtype", FLOATS)
def test_ordinary_numbers_are_sound_in_every_type(dtype: DType) -> None:
    health = examine({"a": tensor(noise(5, 7), dtype)})
    assert health.findings == () and health.sound and health.numbers == 35
    assert list(health.sentences()) == ["All 35 numbers were read: none is NaN or infinite."]


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_and_infinite_numbers_are_counted_in_every_type(dtype: DType) -> None:
    values = noise(30)
    values[[3, 20]], values[11] = np.nan, -np.inf
    found = examine({"a": tensor(values, dtype)})
    assert [(f.sort, f.count) for f in found.findings] == [("nan", 2), ("infinite", 1)]
    assert not found.sound
    assert next(found.sentences()).startswith("BROKEN: NaN in a (2 numbers)")


def test_fp8_without_infinities_shows_its_nan() -> None:
    assert sorts(tensor([1, np.nan, 2], F8_E4M3)) == ["nan"]


def test_a_tensor_of_nothing_but_nan_is_not_called_constant() -> None:
    assert sorts(tensor([np.nan] * 4)) == ["nan"]


@pytest.mark.parametrize("dtype", [F64, F32, BF16])
def test_numbers_beyond_fp16_are_counted_with_the_largest(dtype: DType) -> None:
    finding = examine({"a": tensor([1, -70144, 66048, 5], dtype)}).findings[0]
    assert (finding.sort, finding.count, finding.worst) == ("overflow", 2, 70144)


def test_the_largest_number_of_fp16_does_not_overflow_it() -> None:
    assert sorts(tensor([1, 65504, -65504])) == []
    assert sorts(tensor([1, 65504.01, 2], F64)) == ["overflow"]


@pytest.mark.parametrize("dtype", [F64, F32, BF16])
def test_numbers_too_small_for_fp16_are_counted(dtype: DType) -> None:
    found = measure(tensor([2**-14, 2**-15, -(2**-20), 2**-25, 2**-26, 0, 1], dtype))
    assert (found.small, found.lost) == (4, 2)
    assert sorts(tensor([1e-6] * 5 + [1], dtype)) == ["flush"]


def test_fp16_is_not_blamed_for_its_own_small_numbers() -> None:
    assert sorts(tensor([2**-20, 2**-24, 1], F16)) == []


@pytest.mark.parametrize("dtype", FLOATS)
def test_zeros_and_constants_are_told_apart(dtype: DType) -> None:
    assert sorts(tensor([0.0] * 20, dtype), tensor([-0.0, 0.0], dtype)) == ["zero", "zero"]
    assert sorts(tensor([1.5] * 20, dtype)) == ["constant"]


def test_a_single_number_and_an_empty_tensor_are_nothing_special() -> None:
    assert sorts(tensor(0.0), tensor([]), tensor([7.0])) == []


def test_complex_numbers_are_examined_as_pairs() -> None:
    assert sorts(tensor([1 + 2j, complex(0, np.inf)], C64)) == ["infinite"]


def test_integers_are_left_alone_and_tiny_types_are_named() -> None:
    small = Tensor(F4, (4,), lambda: b"\x12\x34")
    found = examine({"a": tensor([0, 0], I64), "b": small})
    assert [(f.sort, f.tensor) for f in found.findings] == [("unread", "b")]


def test_progress_ends_at_the_whole() -> None:
    seen: list[tuple[int, int]] = []
    model = {"a": tensor(noise(9)), "b": tensor([1, 2], I64)}
    examine(model, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (52, 52)


def test_an_unreadable_tensor_stops_the_examination() -> None:
    def fail() -> bytes:
        raise Damaged("x", "ended early")

    with pytest.raises(Damaged):
        examine({"a": tensor(noise(3)), "b": Tensor(F32, (3,), fail)})


# position ids


def test_integer_position_ids_are_right() -> None:
    assert [p.state for p in position_ids({IDS: tensor(np.arange(77)[None], I64)})] == ["ok"]


def test_position_ids_cast_to_floats_are_told_from_broken_ones() -> None:
    values = np.arange(77, dtype="f4")[None]
    assert [p.state for p in position_ids({IDS: tensor(values, F16)})] == ["float"]
    values[0, 76] = 75.9975
    found = examine({IDS: tensor(values, F32)})
    (state,) = found.positions
    assert state.state == "broken" and state.broken == ((76, pytest.approx(75.9975)),)
    assert "76 holds 75.9975" in next(found.sentences())


@pytest.mark.parametrize("values", [np.full((1, 77), np.nan), np.zeros((1, 77)), noise(1, 9000)])
def test_senseless_position_ids_are_broken(values: np.ndarray) -> None:
    assert [p.state for p in position_ids({IDS: tensor(values)})] == ["broken"]


def test_missing_position_ids_are_noticed_beside_a_token_table() -> None:
    table = IDS.replace("position_ids", "token_embedding.weight")
    found = examine({table: tensor(noise(4, 2))})
    assert [(p.tensor, p.state) for p in found.positions] == [(IDS, "missing")]
    assert found.sound


# averages


def trained(*names: str) -> dict[str, Tensor]:
    return {
        f"model.diffusion_model.{name}": tensor(noise(40, seed=number))
        for number, name in enumerate(names)
    }


def test_the_average_of_a_name_has_no_dots() -> None:
    assert averaged_name("model.diffusion_model.out.2.bias") == "model_ema.diffusion_modelout2bias"


def test_equal_averages_are_at_no_distance_and_scaled_ones_at_their_scale() -> None:
    live = trained("a.weight", "b.weight")
    same = {averaged_name(name): value for name, value in live.items()}
    equal = compare_averages({**live, **same})
    assert equal is not None and equal.distance == 0 and equal.pairs == 2
    scaled = {averaged_name(n): tensor(noise(40, seed=i) * 1.1) for i, n in enumerate(live)}
    found = compare_averages({**live, **scaled})
    assert found is not None and found.distance == pytest.approx(0.1, rel=1e-5)


def test_averages_of_another_type_are_compared_though_their_pieces_end_elsewhere() -> None:
    live = trained("a.weight")
    half = {averaged_name(name): tensor(noise(40), F16) for name in live}
    found = compare_averages({**live, **half})
    assert found is not None and 0 < found.distance < 1e-3


def test_what_cannot_be_compared_is_left_out_and_counted() -> None:
    live = trained("a", "b", "c")
    odd = [tensor(noise(41)), tensor([np.nan] * 40), tensor(noise(40, seed=2))]
    averages = {averaged_name(name): value for name, value in zip(live, odd, strict=True)}
    extra = {"model_ema.gone": tensor(noise(2)), "model_ema.decay": tensor(0.9999)}
    found = compare_averages({**live, **averages, **extra})
    assert found is not None
    assert (found.pairs, len(found.left_out), found.alone) == (1, 2, 1)


def test_a_model_without_averages_has_no_distance() -> None:
    assert compare_averages(trained("a")) is None


def test_the_distance_is_said_in_words() -> None:
    live = trained("a")
    far = {averaged_name(name): tensor(noise(40) * 1.02) for name in live}
    words = " ".join(examine({**live, **far}).sentences())
    assert "2.00% away from the trained ones (1 pairs)" in words


# noise schedules


def standard() -> np.ndarray:
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    return np.cumprod(1 - betas)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (standard(), []),
        (standard().astype("f2"), ["rounded"]),
        (np.cumprod(1 - np.linspace(0.0001, 0.02, 1000)), ["another"]),
        (np.full(1000, np.nan), ["another"]),
        (standard()[:100], ["shape"]),
    ],
)
def test_a_schedule_is_compared_with_the_standard(values: np.ndarray, expected: list[str]) -> None:
    assert [s.sort for s in schedule({"alphas_cumprod": tensor(values)})] == expected


def test_every_sort_that_is_found_has_a_sentence() -> None:
    names = [sort.name for sort in SORTS]
    assert len(set(names)) == len(names)
    model = {"alphas_cumprod": tensor(standard().astype("f2"))}
    (finding,) = examine(model).findings
    assert finding.sort in names
    assert 0 < (finding.worst or 0) < 1e-3


def test_a_file_without_numbers_is_not_praised() -> None:
    assert list(examine({}).sentences()) == ["There are no numbers to examine."]
