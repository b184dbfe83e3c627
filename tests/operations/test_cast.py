"""Casts are torch's, bit for bit; what they cost is counted; what may not be cast is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfumato.catalogue.verdict import Verdict
from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.dtype import BF16, F8_E4M3, F8_E5M2, F16, F32, F64, I64, DType
from sfumato.containers.tensor import Tensor
from sfumato.errors import UsageError
from sfumato.operations.cast import CASTABLE, Losses, cast, dtype_named
from sfumato.operations.recast import recast
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


def scaled(scale: str = ".scale_weight", shape: tuple[int, ...] = ()) -> dict[str, Tensor]:
    return {
        "a.weight": random_tensor((4, 3), F8_E4M3),
        f"a{scale}": tensor_from(np.full(shape, 0.3, np.float32)),
        "a.scale_input": random_tensor(()),
        "model.scaled_fp8": random_tensor((2,), F8_E4M3),
        "b.weight": random_tensor((4,)),
    }


@pytest.mark.parametrize("scale", [".scale_weight", ".weight_scale"])
@pytest.mark.parametrize("target", [F32, F16, BF16], ids=str)
def test_scaled_fp8_is_multiplied_out(target: DType, scale: str) -> None:
    model = scaled(scale)
    found = recast(model, target, Losses(), Verdict("checkpoint"))
    assert set(found.tensors) == {"a.weight", "b.weight"}
    product = array(model["a.weight"]).astype("f4") * np.float32(0.3)
    assert contents(found.tensors)["a.weight"] == contents({"a": tensor_from(product, target)})["a"]
    assert found.changes[0] == "1 scaled fp8 weight multiplied out" and not found.warnings


def test_scaled_fp8_stays_where_fp8_is_wanted_or_nothing() -> None:
    model = {name: tensor for name, tensor in scaled().items() if name != "b.weight"}
    for target in (F8_E5M2, None):
        found = recast(model, target, Losses(), Verdict("checkpoint"))
        assert contents(found.tensors) == contents(model)
        assert bool(found.warnings) == (target is not None)


def test_a_scale_for_every_row_leaves_weight_scale_and_marker_alone_and_warns() -> None:
    model = scaled(shape=(4, 1))
    found = recast(model, F16, Losses(), Verdict("checkpoint"))
    assert {n for n, t in found.tensors.items() if t.dtype is F16} == {"b.weight"}
    assert contents({**found.tensors, "b.weight": model["b.weight"]}) == contents(model)
    (warning,) = found.warnings
    assert "1 scaled weight not cast" in warning


def test_an_unknown_type_is_answered_with_the_nearest() -> None:
    assert dtype_named("FP16") is F16
    with pytest.raises(UsageError, match="bf16"):
        dtype_named("bf17")
