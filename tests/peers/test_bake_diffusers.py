"""Baking against diffusers: a fused LoRA has the weights that are baked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from loras import arrays, saved
from paintable import write
from sfumato.engine.loading.load import load
from sfumato.operations.bake import bake, unbake
from sfumato.operations.convert import convert
from sfumato.operations.vae import vae_extract, vae_replace

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

PIPELINES: dict[str, Any] = {
    "sd1": diffusers.StableDiffusionPipeline,
    "sdxl": diffusers.StableDiffusionXLPipeline,
}
PARTS = ("unet", "text_encoder", "text_encoder_2")


def pipeline(kind: str, folder: Path) -> Any:  # noqa: ANN401
    return PIPELINES[kind].from_pretrained(folder, local_files_only=True)


def parts(pipe: Any) -> dict[str, torch.Tensor]:  # noqa: ANN401
    return {
        f"{part}.{name}": tensor
        for part in PARTS
        if getattr(pipe, part, None) is not None
        for name, tensor in getattr(pipe, part).state_dict().items()
    }


@pytest.mark.parametrize("kind", PIPELINES)
def test_a_baked_folder_has_the_weights_that_diffusers_fuses(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"{kind}.safetensors", kind)
    model = load(path, device="cpu")
    only = ("attn1", "attn2", "ff.net", "self_attn")
    lora = saved(tmp_path / "ink.safetensors", arrays(model, "lora", only))
    model.close()
    convert(path, tmp_path / "plain")
    bake(tmp_path / "plain", tmp_path / "baked", loras=[(lora, 0.8)])
    pipe = pipeline(kind, tmp_path / "plain")
    before = {name: tensor.clone() for name, tensor in parts(pipe).items()}
    pipe.load_lora_weights(tmp_path, weight_name="ink.safetensors")
    pipe.fuse_lora(components=[p for p in PARTS if hasattr(pipe, p)], lora_scale=0.8)
    pipe.unload_lora_weights()
    theirs, ours = parts(pipe), parts(pipeline(kind, tmp_path / "baked"))
    assert theirs.keys() == ours.keys() == before.keys()
    assert sum(not torch.equal(theirs[name], before[name]) for name in before) >= 40
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, atol=2e-6, rtol=2e-6)
    unbake(tmp_path / "baked", tmp_path / "again", loras=[(lora, 0.8)])
    for name, tensor in parts(pipeline(kind, tmp_path / "again")).items():
        torch.testing.assert_close(tensor, before[name], atol=1e-6, rtol=1e-6)


def test_a_replaced_vae_is_the_one_that_diffusers_loads(tmp_path: Path) -> None:
    path = write(tmp_path / "one.safetensors")
    other = write(tmp_path / "other.safetensors", seed=5)
    convert(path, tmp_path / "plain")
    convert(other, tmp_path / "expected")
    vae_extract(other, tmp_path / "other.vae.pt")
    vae_replace(tmp_path / "plain", tmp_path / "out", vae=tmp_path / "other.vae.pt")
    ours, theirs = (
        pipeline("sd1", tmp_path / name).vae.state_dict() for name in ("out", "expected")
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
