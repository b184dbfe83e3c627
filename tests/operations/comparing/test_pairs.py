"""Two tensors are told apart by their numbers alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sfumato.containers.arrays import array, cast_chunk, tensor_from
from sfumato.containers.dtype import BF16, BOOL, C64, F4, F8_E4M3, F16, F32, F64, I64, DType
from sfumato.containers.tensor import Origin, Tensor
from sfumato.operations.comparing.pairs import compare
from toys import random_tensor


def cast(tensor: Tensor, dtype: DType) -> Tensor:
    return tensor_from(array(tensor).astype("<f4"), dtype)


def floats(*values: float) -> Tensor:
    return tensor_from(np.array(values, np.float32))


def test_a_tensor_is_identical_to_itself() -> None:
    found = compare("w", random_tensor((300, 500)), random_tensor((300, 500)))
    assert (found.sort, found.distance, found.changed) == ("identical", 0.0, 0)


@pytest.mark.parametrize("dtype", [F16, BF16, F8_E4M3, F64])
def test_widening_leaves_every_number_equal(dtype: DType) -> None:
    narrow = tensor_from(np.linspace(-2, 2, 999, dtype=np.float32), F8_E4M3)
    exact = cast(narrow, F32)
    wide = tensor_from(array(exact).astype("<f8")) if dtype is F64 else cast(exact, dtype)
    assert compare("w", wide, exact).sort == "equal"


@pytest.mark.parametrize("dtype", [F16, BF16, F8_E4M3])
def test_a_rounded_tensor_is_a_cast_in_both_directions(dtype: DType) -> None:
    wide = random_tensor((70_000,))
    assert compare("w", wide, cast(wide, dtype)).sort == "cast"
    assert compare("w", cast(wide, dtype), wide).sort == "cast"


def test_doubles_are_compared_as_doubles() -> None:
    doubles = tensor_from(np.array([1.0, 1 + 2.0**-40]))
    assert compare("w", doubles, tensor_from(np.array([1.0, 1.0]))).sort == "changed"
    assert compare("w", doubles, floats(1, 1)).sort == "cast"


def test_two_roundings_of_the_same_numbers_are_rounded() -> None:
    wide = random_tensor((70_000,))
    assert compare("w", cast(wide, F16), cast(wide, BF16)).sort == "rounded"


def test_one_number_beyond_rounding_is_a_change() -> None:
    values = array(random_tensor((1000,))).copy()
    values[700] *= np.float32(1.02)
    changed = tensor_from(values)
    assert compare("w", random_tensor((1000,)), cast(changed, F16)).sort == "changed"
    assert compare("w", random_tensor((1000,)), changed).changed == 1


def test_the_distance_is_the_norm_of_the_difference_over_the_first() -> None:
    found = compare("w", floats(3, 4), floats(3, 4.5))
    assert found.distance == pytest.approx(0.1) and found.largest == 0.5


def test_pieces_of_different_lengths_are_still_compared_number_by_number() -> None:
    a, b = random_tensor((1000, 1000)), cast(random_tensor((1000, 1000)), F16)
    assert b.pieces is not None and len(list(a.chunks())) != len(list(b.chunks()))
    apart = array(a).astype(np.float64) - array(b).astype(np.float64)
    assert compare("w", a, b).apart == pytest.approx(float((apart**2).sum()), rel=1e-5)


def test_numbers_that_are_not_finite_are_counted_and_do_not_spoil_the_distance() -> None:
    a, b = floats(1, np.nan, np.inf, 4), floats(1, np.nan, 5, 4.5)
    found = compare("w", a, b)
    assert (found.odd, found.changed, found.sort) == (1, 1, "changed")
    assert found.distance == pytest.approx(0.5 / np.sqrt(17))


def test_not_a_number_is_the_same_as_itself() -> None:
    assert compare("w", floats(np.nan, 1), floats(np.nan, 1)).sort == "identical"
    assert compare("w", floats(np.nan, 1), cast(floats(np.nan, 1), F16)).same


def test_a_linear_layer_is_a_convolution_of_one_pixel_and_nothing_else() -> None:
    linear, conv = random_tensor((8, 4)), random_tensor((8, 4, 1, 1))
    assert compare("w", linear, conv).sort == "identical"
    assert compare("w", linear, random_tensor((4, 8))).sort == "reshaped"


def test_integers_are_compared_by_value_whatever_their_width() -> None:
    ids = np.arange(77)[None]
    assert compare("ids", tensor_from(ids), tensor_from(ids.astype(np.int32))).sort == "equal"
    assert compare("ids", tensor_from(ids), tensor_from(ids.astype(np.float32))).sort == "equal"
    assert compare("ids", tensor_from(ids), tensor_from(ids + (ids == 7))).changed == 1


def test_types_below_a_byte_are_compared_by_their_bytes_alone() -> None:
    a, b = (Tensor(F4, (4,), lambda data=data: data) for data in (b"ab", b"ac"))
    assert (compare("w", a, a).sort, compare("w", a, b).sort) == ("identical", "unread")


def test_one_place_in_two_files_is_not_one_tensor() -> None:
    """Not every container tells its path in the origin of a tensor."""
    origin = Origin("data + 0", 8)
    a, b = (replace(floats(*values), origin=origin) for values in ((1, 2), (1, 3)))
    assert compare("w", a, b).sort == "changed"


@pytest.mark.parametrize("dtype", [F32, I64, F64, C64, BOOL])
def test_tensors_without_numbers_are_identical(dtype: DType) -> None:
    empty = Tensor(dtype, (0, 4), lambda: b"")
    assert compare("w", empty, empty).sort == "identical"


def test_pairs_of_floats_are_compared_as_complex_numbers() -> None:
    a, b = (tensor_from(np.array([1 + 1j, imaginary], np.complex64)) for imaginary in (2j, 3j))
    assert (compare("w", a, b).changed, compare("w", a, b).largest) == (1, 1.0)


def test_zeros_beside_anything_else_are_wholly_apart() -> None:
    assert compare("w", floats(0, 0), floats(1, 0)).distance == 1.0
    assert compare("w", floats(0, 0), floats(0, -0.0)).sort in ("identical", "equal")


def test_casting_by_hand_and_by_the_program_agree() -> None:
    wide = random_tensor((100,))
    data = bytes(cast_chunk(wide.read(), F32, BF16))
    assert compare("w", cast(wide, BF16), Tensor(BF16, (100,), lambda: data)).sort == "identical"
