"""A LoRA looked through: norms are those of the changes, and what is dead or foreign is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from adapter_files import kohya

from loras import BENDING, KINDS, arrays, saved, weights
from paintable import write
from sfumato.containers.dtype import F16
from sfumato.containers.save import save
from sfumato.engine.adapters.patches import Patches, Use
from sfumato.engine.loading.load import load
from sfumato.engine.model import Model
from sfumato.errors import Unsupported
from sfumato.operations.adapters.blocks import in_block_order, rough_block_of
from sfumato.operations.adapters.check import check
from sfumato.operations.adapters.lora import read_lora
from toys import random_tensors

Small = tuple[Path, Model]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Small]:
    """A small checkpoint, and the model loaded from it."""
    kept: dict[str, Small] = {}

    def made(kind: str) -> Small:
        if kind not in kept:
            path = write(tmp_path_factory.mktemp(kind) / f"{kind}.safetensors", kind)
            kept[kind] = path, load(path, device="cpu")
        return kept[kind]

    return made


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("norm", "full and bias")])
def test_norms_are_those_of_what_the_weights_change_by(
    kind: str, tmp_path: Path, small: Callable[[str], Small]
) -> None:
    path, model = small("sd1")
    lora = saved(tmp_path / "ink.safetensors", arrays(model, kind))
    before = weights(model)
    with Patches(model) as patches:
        patches.set([Use(read_lora(lora, model.target))])
        after = weights(model)
    found = check(lora, path)
    assert found.sound and found.applied == found.tensors and len(found.layers) == 60
    for layer in found.layers:
        expected = torch.linalg.vector_norm(after[layer.name] - before[layer.name])
        assert layer.norm == pytest.approx(float(expected), rel=1e-4)
        assert layer.weight == pytest.approx(float(before[layer.name].norm()), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lora", "cp", "loha", "lokr", "full", *BENDING])
def test_without_a_model_the_norms_are_the_same_or_not_told(
    kind: str, tmp_path: Path, small: Callable[[str], Small]
) -> None:
    path, model = small("sd1")
    lora = saved(tmp_path / "ink.safetensors", arrays(model, kind, (".resnets", "attn1", "conv")))
    alone, beside = check(lora), check(lora, path)
    assert alone.sound and alone.applied is None and alone.model is None
    if kind in BENDING:
        assert {layer.state for layer in alone.layers} == {"unread"}
        return
    for one, other in zip(alone.layers, beside.layers, strict=True):
        assert one.norm == pytest.approx(other.norm, rel=1e-4)
        assert (one.rank, one.scale, one.kind) == (other.rank, other.scale, other.kind)


@pytest.mark.slow
def test_shares_of_blocks_and_layers_are_of_the_weights_that_change(
    tmp_path: Path, small: Callable[[str], Small]
) -> None:
    path, model = small("sdxl")
    found = check(saved(tmp_path / "ink.safetensors", arrays(model, "lora")), path)
    blocks = found.blocks
    assert list(blocks) == ["TE", "TE2", "IN03", "M00", "OUT00", "OUT01"]
    for name, block in blocks.items():
        layers = [layer for layer in found.layers if layer.block == name]
        norm = sum((layer.norm or 0) ** 2 for layer in layers) ** 0.5
        weight = sum((layer.weight or 0) ** 2 for layer in layers) ** 0.5
        assert (block.layers, block.norm) == (len(layers), pytest.approx(norm))
        assert block.share == pytest.approx(norm / weight)


@pytest.mark.slow
def test_dead_broken_and_misplaced_layers_are_named(
    tmp_path: Path, small: Callable[[str], Small]
) -> None:
    path, model = small("sd1")
    found = arrays(model, "lora", ("attn1",))
    ups = [name for name in found if name.endswith("lora_up.weight")]
    found[ups[0]][:] = 0
    found[ups[1]][0, 0] = np.nan
    found["lora_unet_nowhere.lora_down.weight"] = np.ones((4, 8), "f4")
    found["lora_unet_nowhere.lora_up.weight"] = np.ones((8, 4), "f4")
    told = check(saved(tmp_path / "bad.safetensors", found, F16), path)
    reasons = {layer.state: layer.reason for layer in told.dead}
    assert len(told.dead) == 2 and reasons["zero"] == "it changes nothing"
    assert "holds values that are no finite numbers" in reasons["broken"]
    assert not told.sound and told.applied == told.tensors - 2
    assert told.notes == (
        "2 tensors left out: there is no such module in this model (lora_unet_nowhere)",
    )


@pytest.mark.slow
def test_a_lora_of_another_family_is_told_in_one_sentence(
    tmp_path: Path, small: Callable[[str], Small]
) -> None:
    path, _ = small("sd1")
    lora = saved(
        tmp_path / "ink.safetensors", {n: _zeros(t.shape) for n, t in kohya("sd2").items()}
    )
    found = check(lora, path)
    assert "the file is: SD 2.x" in found.refusal and not found.sound


def _zeros(shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape, "f4")


def test_blocks_are_known_by_name_in_a_published_family_and_roughly_in_any_other() -> None:
    name = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    assert rough_block_of("unet", name, "sd1") == "IN04"
    assert rough_block_of("unet", name, "unknown") == "down 1"
    assert rough_block_of("unet", "lora_unet_mid_block_attentions_0_proj_in", "unknown") == "mid"
    assert rough_block_of("unet", "lora_unet_output_blocks_3_1_proj_in", "unknown") == "OUT03"
    assert rough_block_of("unet", "unet:0", "sd1") == "IN01"
    assert rough_block_of("unet", "unet:999", "sd1") == "rest"
    assert rough_block_of("text_encoder", "anything", "sd1") == "TE"


def test_blocks_come_as_a_picture_passes_them() -> None:
    names = ["OUT11", "OUT02", "M00", "IN10", "IN02", "TE2", "TE", "rest"]
    assert in_block_order(names) == ["TE", "TE2", "IN02", "IN10", "M00", "OUT02", "OUT11", "rest"]
    assert in_block_order(["up 0", "mid", "down 1", "down 0"]) == [
        "down 0",
        "down 1",
        "mid",
        "up 0",
    ]


def test_what_is_no_lora_is_not_looked_through(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", random_tensors({"w": (2, 3)}))
    with pytest.raises(Unsupported, match="is no LoRA"):
        check(tmp_path / "a.safetensors")


QUERY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"

BOMBS: dict[str, dict[str, tuple[int, ...]]] = {
    "outputs and inputs": {"lora_up.weight": (60_000, 300), "lora_down.weight": (300, 60_000)},
    "ranks": {"lora_up.weight": (2, 60_000), "lora_down.weight": (60_000, 2)},
    "Kronecker": {"lokr_w1": (4000, 40), "lokr_w2": (40, 4000)},
    "no rank": {"lora_up.weight": (8, 0), "lora_down.weight": (0, 8)},
    "misfit": {"lora_up.weight": (8, 4), "lora_down.weight": (5, 8)},
    "several alphas": {"lora_up.weight": (8, 4), "lora_down.weight": (4, 8), "alpha": (2,)},
}
"""tensors that fit no weight, or stand for one that no memory holds"""


@pytest.mark.parametrize("name", BOMBS)
def test_factors_of_a_monstrous_weight_are_not_multiplied_out(name: str, tmp_path: Path) -> None:
    shapes = {f"{QUERY}.{slot}": shape for slot, shape in BOMBS[name].items()}
    found = check(saved(tmp_path / "bad.safetensors", {n: _zeros(s) for n, s in shapes.items()}))
    (layer,) = found.layers
    assert layer.state == ("zero" if name in ("outputs and inputs", "ranks") else "broken")


REAL = {
    "lora-diffusers.bin": (128, 4, "IN01"),
    "lora-diffusers-bf16.safetensors": (128, 4, "IN01"),
    "lora-cloneofsimo-analog_svd_rank4.safetensors": (192, 4, "TE"),
    "lora-cloneofsimo-disney_inpainting.safetensors": (192, 1, "TE"),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_sound_and_sorted_into_blocks(real: Path, name: str) -> None:
    found = check(real / name)
    layers, rank, first = REAL[name]
    assert (len(found.layers), dict(found.ranks)) == (layers, {rank: layers})
    assert found.sound and not found.dead and "rest" not in found.blocks
    assert next(iter(found.blocks)) == first
