"""Casting, bit for bit as torch casts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sfumato.containers.arrays import array, cast_chunk, from_float32, tensor_from, to_float32
from sfumato.containers.dtype import (
    BF16,
    C64,
    F4,
    F8_E4M3,
    F8_E4M3FNUZ,
    F8_E5M2,
    F8_E5M2FNUZ,
    F8_E8M0,
    F16,
    F32,
    F64,
    I64,
    U8,
    DType,
)
from sfumato.containers.tensor import Tensor
from sfumato.errors import Unsupported, UsageError
from toys import contents, random_tensor

TORCH = {
    F64: torch.float64,
    F32: torch.float32,
    F16: torch.float16,
    BF16: torch.bfloat16,
    F8_E4M3: torch.float8_e4m3fn,
    F8_E5M2: torch.float8_e5m2,
    F8_E4M3FNUZ: torch.float8_e4m3fnuz,
    F8_E5M2FNUZ: torch.float8_e5m2fnuz,
    F8_E8M0: torch.float8_e8m0fnu,
}
SMALL = [dtype for dtype in TORCH if dtype.bits <= 16]
ids = {"argvalues": SMALL, "ids": str}


def raw_codes(dtype: DType) -> bytes:
    """Every bit pattern of a type of at most sixteen bits."""
    return np.arange(1 << dtype.bits, dtype="<u2" if dtype.bits == 16 else "u1").tobytes()


def by_torch(buffer: bytes, source: DType, target: DType) -> bytes:
    values = torch.frombuffer(bytearray(buffer), dtype=TORCH[source])
    return values.to(TORCH[target]).view(torch.uint8).numpy().tobytes()


def hard_floats() -> NDArray[np.float32]:
    """Every upper half of a float32 with the lower halves where rounding turns; random bits."""
    upper = np.arange(1 << 16, dtype="<u4") << 16
    rows = [upper + lower for lower in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF, 0x1000, 0xF000)]
    rng = np.random.default_rng(7)
    rows.append(rng.integers(0, 1 << 32, 200_000, dtype="<u4"))
    return np.concatenate(rows).astype("<u4").view("<f4")


def equal_but_for_nan_bits(found: bytes, expected: bytes, dtype: DType) -> bool:
    """Torch itself gives NaN other bits from one code path to the next."""
    a, b = (to_float32(buffer, dtype) for buffer in (found, expected))
    nan = np.isnan(a)
    raw_a, raw_b = (np.frombuffer(buffer, f"<u{dtype.bits // 8}") for buffer in (found, expected))
    return bool((nan == np.isnan(b)).all() and (raw_a == raw_b)[~nan].all())


@pytest.mark.parametrize("dtype", **ids)
def test_every_bit_pattern_becomes_the_float32_that_torch_makes_of_it(dtype: DType) -> None:
    ours = to_float32(raw_codes(dtype), dtype).tobytes()
    assert equal_but_for_nan_bits(ours, by_torch(raw_codes(dtype), dtype, F32), F32)


@pytest.mark.parametrize("dtype", **ids)
def test_float32_is_rounded_as_torch_rounds_it(dtype: DType) -> None:
    values = hard_floats()
    ours = bytes(from_float32(values, dtype))
    assert equal_but_for_nan_bits(ours, by_torch(values.tobytes(), F32, dtype), dtype)


@pytest.mark.parametrize("dtype", **ids)
def test_a_small_type_survives_the_way_through_float32(dtype: DType) -> None:
    codes = raw_codes(dtype)
    assert equal_but_for_nan_bits(
        bytes(from_float32(to_float32(codes, dtype), dtype)), codes, dtype
    )


@pytest.mark.parametrize("source", TORCH, ids=str)
@pytest.mark.parametrize("target", TORCH, ids=str)
def test_every_pair_of_types_is_cast_as_torch_casts_it(source: DType, target: DType) -> None:
    values = np.random.default_rng(1).standard_normal(1000) * np.geomspace(1e-9, 1e6, 1000)
    buffer = by_torch(values.tobytes(), F64, source)
    assert equal_but_for_nan_bits(
        bytes(cast_chunk(buffer, source, target)), by_torch(buffer, source, target), target
    )


@given(st.floats())
def test_a_double_is_rounded_by_way_of_float32(value: float) -> None:
    buffer = np.array([value], "<f8").tobytes()
    for target in (F32, F16, BF16, F8_E5M2):
        ours = bytes(cast_chunk(buffer, F64, target))
        assert equal_but_for_nan_bits(ours, by_torch(buffer, F64, target), target)


def test_what_is_too_large_becomes_infinite_or_the_largest() -> None:
    huge = np.array([1e30, -1e30], "<f4")
    for dtype in (F16, F8_E5M2):
        assert to_float32(from_float32(huge, dtype), dtype).tolist() == [np.inf, -np.inf]
    assert to_float32(from_float32(huge, F8_E4M3), F8_E4M3).tolist() == [448, -448]
    assert np.isnan(to_float32(from_float32(huge, F8_E4M3FNUZ), F8_E4M3FNUZ)).all()


def test_a_cast_to_the_same_type_copies_nothing() -> None:
    buffer = bytes(8)
    assert cast_chunk(buffer, F16, F16) is buffer


@pytest.mark.parametrize("dtype", [F32, F16, F64, I64, U8, C64], ids=str)
def test_an_array_has_the_type_of_its_tensor(dtype: DType) -> None:
    found = array(random_tensor((2, 3), dtype))
    assert (found.dtype, found.shape) == (np.dtype(dtype.carrier), (2, 3))
    assert not found.flags.writeable


def test_an_array_of_a_type_numpy_has_not_is_float32() -> None:
    tensor = random_tensor((2, 3), BF16)
    assert array(tensor).dtype == np.float32
    assert contents({"": tensor_from(array(tensor), BF16)}) == contents({"": tensor})


def test_an_array_of_raw_bits_is_taken_as_it_is() -> None:
    assert tensor_from(np.array([0x3F80], "<u2"), BF16).read() == b"\x80\x3f"
    assert tensor_from(np.array([0x38], "u1"), F8_E4M3).read() == b"\x38"


def test_a_tensor_of_a_strided_big_endian_array_is_plain() -> None:
    values = np.arange(6, dtype=">f4").reshape(2, 3).T
    tensor = tensor_from(values)
    assert (tensor.dtype, tensor.shape) == (F32, (3, 2))
    assert array(tensor).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_a_scalar_and_an_empty_array_keep_their_shape() -> None:
    assert array(tensor_from(np.float32(3))).shape == ()
    assert array(tensor_from(np.zeros((0, 4), "<f4"))).shape == (0, 4)


def test_only_floats_are_cast_and_none_below_a_byte() -> None:
    with pytest.raises(UsageError, match="not a float type"):
        cast_chunk(bytes(8), I64, F16)
    with pytest.raises(UsageError, match="not a float type"):
        cast_chunk(bytes(8), F32, I64)
    with pytest.raises(Unsupported, match="smaller than a byte"):
        array(Tensor(F4, (2,), lambda: b"\0"))


def test_text_is_no_tensor() -> None:
    with pytest.raises(UsageError, match="numpy <U1"):
        tensor_from(np.array(["a"]))
