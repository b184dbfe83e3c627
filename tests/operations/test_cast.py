"""Casts are torch's, bit for bit; what they cost is counted; what may not be cast is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.dtype import BF16, F16, F32, F64, I64
from sfumato.errors import UsageError
from sfumato.operations.cast import CASTABLE, Losses, cast, cast_all, dtype_named
from toys import contents, random_tensor

TORCH = {"F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}


@pytest.mark.parametrize("target", [F16, BF16, F64], ids=str)
def test_a_cast_gives_the_bits_that_torch_gives(target):  # noqa: ANN001, ANN201
    tensor = random_tensor((300, 7))
    expected = torch.from_numpy(array(tensor).copy()).to(TORCH[target.name])
    found = b"".join(bytes(piece) for piece in cast("w", tensor, target).chunks())
    assert found == expected.view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("dtype", CASTABLE, ids=str)
def test_a_cast_to_a_tensors_own_type_is_the_tensor(dtype):  # noqa: ANN001, ANN201
    tensor = random_tensor((4,), dtype)
    assert cast("w", tensor, dtype) is tensor


def test_integers_and_position_ids_are_never_cast() -> None:
    numbers, ids = tensor_from(np.arange(3)), random_tensor((1, 77))
    assert cast("step", numbers, F16).dtype is I64
    assert cast("text_model.embeddings.position_ids", ids, F16).dtype is F32


def test_a_scalar_stays_a_scalar() -> None:
    assert cast("logit_scale", random_tensor(()), F16).shape == ()


def test_numbers_that_become_infinite_or_zero_are_counted_by_name() -> None:
    values = np.array([1.0, 70000.0, -1e9, 1e-9, 0.0, np.inf], np.float32)
    losses = Losses()
    cast("w", tensor_from(values), F16, losses).read()
    assert (losses.infinite, losses.flushed) == ({"w": 2}, {"w": 1})


def test_an_exact_cast_counts_nothing() -> None:
    losses = Losses()
    cast("w", random_tensor((9,), F16), F32, losses).read()
    assert losses == Losses()


def test_scaled_fp8_and_its_scales_are_left_alone() -> None:
    model = {"a.weight": random_tensor((4,)), "a.scale_weight": random_tensor(())}
    assert contents(cast_all(model, F16, Losses())) == contents(model)


def test_an_unknown_type_is_answered_with_the_nearest() -> None:
    assert dtype_named("FP16") is F16
    with pytest.raises(UsageError, match="bf16"):
        dtype_named("bf17")
