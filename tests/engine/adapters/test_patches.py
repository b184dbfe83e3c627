"""LoRAs in a model's weights: what attaching, stacking, failing and detaching leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from loras import BENDING, KINDS, PREFIXES, arrays, changed, modules, saved, weights
from paintable import write
from sfumato.containers.dtype import BF16, F16, F32, DType
from sfumato.engine.adapters import patches
from sfumato.engine.adapters.patches import Patches, Use
from sfumato.engine.loading.load import load
from sfumato.engine.model import Model
from sfumato.errors import Damaged, UsageError
from sfumato.operations.adapters import layering
from sfumato.operations.adapters.layering import Layer
from sfumato.operations.adapters.lora import Lora, read_lora

pytestmark = pytest.mark.slow

SOME = ("attn2", "resnets", "layers.0")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    model = load(write(tmp_path_factory.mktemp("model") / "sd1.safetensors", "sd1", F16))
    yield model
    model.close()


@pytest.fixture
def model(loaded: Model) -> Iterator[Model]:
    """The model; the test must leave its weights as they were."""
    before = weights(loaded)
    yield loaded
    assert not changed(loaded, before)


def lora(model: Model, folder: Path, kind: str = "lora", *only: str, dtype: DType = F32) -> Lora:
    path = folder / f"{kind} {' '.join(only)}.safetensors".replace("/", "")
    return read_lora(saved(path, arrays(model, kind, only), dtype), model.target)


@pytest.mark.parametrize("kind", KINDS)
def test_detaching_gives_every_bit_back_whatever_the_kind(
    model: Model, tmp_path: Path, kind: str
) -> None:
    before = weights(model)
    only = {"norm": ("norm",), "full and bias": ("resnets", "layers.0")}.get(kind, SOME)
    one = lora(model, tmp_path, kind, *only)
    assert one.applied == one.total > 0 and not one.notes
    with Patches(model) as attached:
        (report,) = attached.set([Use(one, 0.7)])
        touched = {part.key for part in one.parts}
        assert changed(model, before) == touched and report.change_unet
    assert not changed(model, before)


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_weights_of_half_precision_are_rounded_once(tmp_path: Path, dtype: str) -> None:
    path = write(tmp_path / "sd1.safetensors", "sd1", F32)
    exact, rounded = load(path, device="cpu"), load(path, device="cpu", dtype=dtype)
    before = weights(rounded)
    for model in (exact, rounded):
        Patches(model).set([Use(lora(model, tmp_path / dtype / str(model is exact)), 0.6)] * 2)
    cast = {key: weight.to(rounded.placement.dtype) for key, weight in weights(exact).items()}
    assert not {key for key in changed(rounded, cast) if not key.startswith("first_stage_model.")}
    assert changed(rounded, before)


def test_a_strength_of_zero_changes_nothing(model: Model, tmp_path: Path) -> None:
    before = weights(model)
    with Patches(model) as attached:
        (report,) = attached.set([Use(lora(model, tmp_path), 0.0)])
        assert not changed(model, before)
        assert report.applied == report.total and report.change_unet == report.change_text == 0


def test_text_encoder_and_unet_have_strengths_of_their_own(model: Model, tmp_path: Path) -> None:
    before, one = weights(model), lora(model, tmp_path)
    with Patches(model) as attached:
        attached.set([Use(one, 0.5, 0.0)])
        assert all(key.startswith("cond_stage_model.") for key in changed(model, before))
        attached.set([Use(one, 0.0, 0.5)])
        assert all(key.startswith("model.diffusion_model.") for key in changed(model, before))


def test_the_same_set_again_is_no_work(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = lora(model, tmp_path, "lora", "attn1"), lora(model, tmp_path, "loha", "attn2")
    with Patches(model) as attached:
        first = attached.set([Use(one), Use(two)])
        with monkeypatch.context() as patched:
            patched.setattr(patches, "read_into", None)
            assert attached.set([Use(one), Use(two)]) == first
        read: list[object] = []
        own = patches.read_into
        monkeypatch.setattr(
            patches, "read_into", lambda *a, **k: (read.append(a), own(*a, **k))[-1]
        )
        attached.set([Use(one), Use(two, 0.5)])
        assert len(read) == len(two.parts)
        monkeypatch.undo()


@pytest.mark.parametrize("kind", ["lora", "dora", "boft", "full"])
def test_of_two_loras_one_taken_away_leaves_the_other_alone(
    model: Model, tmp_path: Path, kind: str
) -> None:
    one, two = lora(model, tmp_path, "loha"), lora(model, tmp_path, kind)
    with Patches(model) as attached:
        attached.set([Use(one, 0.3)])
        alone = weights(model)
        attached.set([Use(one, 0.3), Use(two, 0.8)])
        assert changed(model, alone)
        attached.set([Use(one, 0.3)])
        assert not changed(model, alone)


@pytest.mark.parametrize("kind", ["dora", "oft", "glora"])
def test_the_order_matters_where_the_change_depends_on_the_weight(
    model: Model, tmp_path: Path, kind: str
) -> None:
    plain, bending = Use(lora(model, tmp_path)), Use(lora(model, tmp_path, kind))
    assert kind in BENDING
    with Patches(model) as attached:
        attached.set([plain, bending])
        first = weights(model)
        attached.set([bending, plain])
        second = weights(model)
    differs = [not torch.allclose(first[key], second[key], atol=1e-3) for key in first]
    assert any(differs)


def test_a_lora_named_twice_is_applied_twice(model: Model, tmp_path: Path) -> None:
    one = lora(model, tmp_path)
    with Patches(model) as attached:
        attached.set([Use(one, 0.4), Use(one, 0.4)])
        twice = weights(model)
        (report,) = attached.set([Use(one, 0.8)])
        assert all(torch.allclose(w, twice[key], atol=1e-6) for key, w in weights(model).items())
        halves = attached.set([Use(one, 0.4), Use(one, 0.4)])
    assert [half.change_unet for half in halves] == pytest.approx([report.change_unet / 2] * 2)  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["lora", "loha", "dora", "set", "norm"])
def test_the_report_tells_the_change_relative_to_the_whole_network(
    model: Model, tmp_path: Path, kind: str
) -> None:
    before = weights(model)
    one = lora(model, tmp_path, kind, *(("norm",) if kind == "norm" else ()))
    with Patches(model) as attached:
        (report,) = attached.set([Use(one, 0.5)])
        after = weights(model)
    for told, prefix in (
        (report.change_unet, "model.diffusion_model."),
        (report.change_text, "cond_stage_model."),
    ):
        keys = [key for key in before if key.startswith(prefix)]
        moved = sum(float((after[key] - before[key]).square().sum()) for key in keys) ** 0.5
        whole = sum(float(before[key].square().sum()) for key in keys) ** 0.5
        assert told == pytest.approx(moved / whole, rel=1e-3)


def test_the_report_says_the_strength(model: Model, tmp_path: Path) -> None:
    one = lora(model, tmp_path)
    with Patches(model) as attached:
        same, apart = attached.set([Use(one, 0.5), Use(one, 0.25, 1)])
    assert " at 0.5 apply" in same.sentence()
    assert " at 1 (0.25 in the text encoder) apply" in apart.sentence()


def test_dyn_takes_the_first_ranks_and_keeps_the_scale(model: Model, tmp_path: Path) -> None:
    found = arrays(model, "lora")
    whole = read_lora(saved(tmp_path / "whole.safetensors", found), model.target)
    for name, array in found.items():
        if ".lora_down." in name:
            array[2:] = 0
    cut = read_lora(saved(tmp_path / "cut.safetensors", found), model.target)
    with Patches(model) as attached:
        attached.set([Use(whole, dyn=2)])
        first = weights(model)
        attached.set([Use(cut)])
        assert all(torch.allclose(w, first[key], atol=1e-6) for key, w in weights(model).items())


@pytest.mark.parametrize(
    ("slots", "expected"),
    [
        ({}, 1.0),
        ({"alpha": 1.0}, 0.25),
        ({"alpha": 1.0, "scale": 3.0}, 3.0),
    ],
)
def test_the_scale_key_wins_over_alpha_and_alpha_is_over_the_rank(
    model: Model, tmp_path: Path, slots: dict[str, float], expected: float
) -> None:
    site, module = modules(model, ["attn1.to_q"])[0]
    name = PREFIXES[site.role] + module.diffusers.replace(".", "_")
    outputs, inputs = module.shape
    up, down = np.ones((outputs, 4), "f4"), np.ones((4, inputs), "f4")
    found = {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down}
    found |= {f"{name}.{slot}": np.float32(value).reshape(()) for slot, value in slots.items()}
    one = read_lora(saved(tmp_path / "one.safetensors", found), model.target)
    before = weights(model)
    with Patches(model) as attached:
        attached.set([Use(one)])
        key = one.parts[0].key
        moved = weights(model)[key] - before[key]
    torch.testing.assert_close(moved, torch.full_like(moved, 4 * expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [F16, BF16, F32])
def test_deltas_are_computed_in_float32_whatever_the_file_holds(
    model: Model, tmp_path: Path, dtype: DType
) -> None:
    one = lora(model, tmp_path, dtype=dtype)
    part = one.parts[0]
    slots = layering.read_slots(one, part)
    assert {tensor.dtype for tensor in slots.values()} == {torch.float32}


def overflowing(model: Model) -> dict[str, np.ndarray]:
    return {name: array * np.float32(1e30) for name, array in arrays(model, "lora").items()}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused_by_name_and_nothing_stays(
    model: Model, tmp_path: Path, value: float
) -> None:
    found = arrays(model, "lora")
    name = [name for name in found if name.endswith("lora_up.weight")][-1]
    found[name][0, 0] = value
    one = read_lora(saved(tmp_path / "bad.safetensors", found), model.target)
    attached = Patches(model)
    huge = read_lora(saved(tmp_path / "huge.safetensors", overflowing(model)), model.target)
    with pytest.raises(Damaged, match="beyond all bounds"):
        attached.set([Use(huge)])
    with pytest.raises(Damaged, match=f"{name} holds values that are no finite numbers"):
        attached.set([Use(one)])
    with pytest.raises(UsageError, match="finite"):
        attached.set([Use(one, value)])


@pytest.mark.parametrize("when", [0, 7, 20])
def test_an_interrupt_halfway_leaves_the_files_own_weights(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    one, two = lora(model, tmp_path), lora(model, tmp_path, "loha")
    attached, calls = Patches(model), iter(range(100))
    attached.set([Use(one)])

    def interrupted(weight: torch.Tensor, layer: Layer) -> float:
        if next(calls) == when:
            weight.fill_(7)
            raise KeyboardInterrupt
        return layering.add_layer(weight, layer)

    monkeypatch.setattr(patches, "add_layer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        attached.set([Use(two)])
    monkeypatch.undo()
    attached.set([Use(one)])
    attached.clear()


def test_a_closed_model_is_left_alone(tmp_path: Path) -> None:
    model = load(write(tmp_path / "sd1.safetensors"), device="cpu")
    with Patches(model) as attached:
        attached.set([Use(lora(model, tmp_path))])
        model.close()
