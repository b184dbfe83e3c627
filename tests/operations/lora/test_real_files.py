"""Real LoRA files for published models, translated and cut without their models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sfumato.containers.open import open_model
from sfumato.operations.lora.layers import opened
from sfumato.operations.lora.proof import compare
from sfumato.operations.lora.resize import resize
from sfumato.operations.lora.translate import translate

FILES = (
    "lora-diffusers-bf16.safetensors",
    "lora-diffusers.bin",
    "lora-cloneofsimo-analog_svd_rank4.safetensors",
    "lora-cloneofsimo-disney_inpainting.safetensors",
)


def distance(one: Path, two: Path) -> float:
    with opened([one]) as first, opened([two]) as second, torch.no_grad():
        return compare(list(first.layers()), list(second.layers())).distance


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_real_lora_says_the_same_in_kohyas_and_in_pefts_names(
    real: Path, tmp_path: Path, name: str
) -> None:
    kohya, peft = tmp_path / "kohya.safetensors", tmp_path / "peft.safetensors"
    translate(real / name, kohya)
    translate(kohya, peft, spelling="peft")
    assert distance(real / name, kohya) < 1e-6 and distance(kohya, peft) < 1e-6
    with open_model(kohya) as file:
        assert all(key.startswith(("lora_unet_", "lora_te_", "<")) for key in file)


@pytest.mark.slow
def test_a_real_lora_is_cut_to_half_its_rank(real: Path, tmp_path: Path) -> None:
    less = tmp_path / "less.safetensors"
    report = resize(real / FILES[2], less, rank=2)
    assert less.stat().st_size < (real / FILES[2]).stat().st_size
    assert any("of rank 2: they hold" in line for line in report.plan.changes)
    assert 0 < distance(real / FILES[2], less) < 1
