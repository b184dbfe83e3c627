"""Averages are paired by the one rule, and nothing else moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sfumato.containers.arrays import array
from sfumato.containers.dtype import F16
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from sfumato.errors import Refused
from sfumato.operations.ema import distance, ema
from small_models import UNET, average, sd1
from toys import contents, random_tensor


def saved(folder: Path, model: dict[str, Tensor]) -> Path:
    path = folder / "a.safetensors"
    save(path, model, force=True)
    return path


def test_use_gives_every_trained_tensor_the_numbers_of_its_average(tmp_path: Path) -> None:
    model = sd1(ema=True)
    ema(saved(tmp_path, model), tmp_path / "b.safetensors")
    expected = {
        name: model[average(name)] if name.startswith(UNET) else tensor
        for name, tensor in model.items()
        if not name.startswith("model_ema.")
    }
    with open_model(tmp_path / "b.safetensors") as found:
        assert contents(found) == contents(expected)


def test_drop_leaves_the_trained_weights_as_they_are(tmp_path: Path) -> None:
    ema(saved(tmp_path, sd1(ema=True)), tmp_path / "b.safetensors", action="drop")
    with open_model(tmp_path / "b.safetensors") as found:
        assert contents(found) == contents(sd1())


def test_extract_gives_the_averaged_network_under_its_ordinary_names(tmp_path: Path) -> None:
    model = sd1(ema=True)
    ema(saved(tmp_path, model), tmp_path / "b.safetensors", action="extract")
    with open_model(tmp_path / "b.safetensors") as found:
        assert contents(found) == contents(
            {name: model[average(name)] for name in model if name.startswith(UNET)}
        )


def test_a_tensor_without_an_average_keeps_its_numbers(tmp_path: Path) -> None:
    model = sd1(ema=True)
    del model[average(f"{UNET}out.2.bias")]
    report = ema(saved(tmp_path, model), tmp_path / "b.safetensors")
    with open_model(tmp_path / "b.safetensors") as found:
        assert bytes(found[f"{UNET}out.2.bias"].read()) == model[f"{UNET}out.2.bias"].read()
    trained = sum(name.startswith(UNET) for name in model)
    assert report.plan.changes[0].startswith(f"{trained - 1} of {trained} tensors")


def test_a_file_without_averages_is_refused(tmp_path: Path) -> None:
    for action in ("use", "drop", "extract"):
        with pytest.raises(Refused, match="averag"):
            ema(saved(tmp_path, sd1()), tmp_path / "b.safetensors", action=action)
    assert not (tmp_path / "b.safetensors").exists()


def test_a_pair_of_two_shapes_is_refused(tmp_path: Path) -> None:
    model = sd1(ema=True) | {average(f"{UNET}out.2.bias"): random_tensor((99,))}
    with pytest.raises(Refused, match="99"):
        ema(saved(tmp_path, model), tmp_path / "b.safetensors")


def test_the_result_may_be_cast_on_the_way(tmp_path: Path) -> None:
    report = ema(saved(tmp_path, sd1(ema=True)), tmp_path / "b.safetensors", dtype="f16")
    with open_model(tmp_path / "b.safetensors") as found:
        assert {t.dtype for t in found.values() if t.dtype.kind == "float"} == {F16}
    assert report.saved is not None and report.saved.verified


def test_the_distance_is_that_of_the_definition(tmp_path: Path) -> None:
    model = sd1(ema=True)
    names = [name for name in model if name.startswith(UNET)]
    live = np.concatenate([array(model[name]).ravel() for name in names]).astype(np.float64)
    mean = np.concatenate([array(model[average(n)]).ravel() for n in names]).astype(np.float64)
    found = distance(saved(tmp_path, model))
    assert found.distance == pytest.approx(np.linalg.norm(live - mean) / np.linalg.norm(live))
    assert {"input_blocks.0", "middle_block.1", "time_embed.0", "out.2"} & set(found.blocks)
