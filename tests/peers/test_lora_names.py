"""The names of LoRA modules, compared with the modules of diffusers, transformers and real keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sfumato.catalogue.adapters.lora_names import FAMILIES, names, numbered, place, resolve
from sfumato.catalogue.adapters.suffixes import split

UNETS = {
    "sd1": {"cross_attention_dim": 768, "attention_head_dim": 8},
    "sd2": {
        "cross_attention_dim": 1024,
        "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": True,
    },
    "sdxl": {
        "block_out_channels": [320, 640, 1280],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "cross_attention_dim": 2048,
        "attention_head_dim": [5, 10, 20],
        "transformer_layers_per_block": [1, 2, 10],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}
"""the configurations that diffusers publishes"""

TEXTS = {
    ("sd1", "lora_te_"): (768, 12, 3072),
    ("sd2", "lora_te_"): (1024, 23, 4096),
    ("sdxl", "lora_te1_"): (768, 12, 3072),
    ("sdxl", "lora_te2_"): (1280, 32, 5120),
}
"""family, kohya's prefix → width, layers, inner width"""


def weights(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Path → shape of the weight, of every layer that trainers can change."""
    return {
        path: tuple(module.weight.shape)
        for path, module in network.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
    }


@pytest.mark.slow
@pytest.mark.parametrize("family", UNETS)
def test_every_layer_of_diffusers_unet_has_its_place(family: str) -> None:
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        layers = weights(UNet2DConditionModel(**UNETS[family]))
    for path, shape in layers.items():
        found = place("lora_unet_" + path.replace(".", "_"), family)
        assert found is not None and found.shape == shape, path
        assert place(f"unet.{path}", family) == found


@pytest.mark.slow
@pytest.mark.parametrize(("family", "prefix"), TEXTS)
def test_every_layer_of_transformers_text_encoder_has_its_place(family: str, prefix: str) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    width, layers, inner = TEXTS[family, prefix]
    config = CLIPTextConfig(
        hidden_size=width, num_hidden_layers=layers, intermediate_size=inner, num_attention_heads=16
    )
    with torch.device("meta"):
        modules = weights(CLIPTextModel(config))
    assert len(modules) == 6 * layers
    for path, shape in modules.items():
        path = path if path.startswith("text_model.") else f"text_model.{path}"
        found = place(prefix + path.replace(".", "_"), family)
        assert found is not None and found.shape == shape, path


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_every_place_exists_in_published_checkpoints(shared: Path, family: str) -> None:
    parts = json.loads((shared / "golden" / f"keys_{family}.json").read_text())
    keys = {key: tuple(entry["shape"]) for part in parts.values() for key, entry in part.items()}
    (entry,) = [entry for entry in FAMILIES if entry.name == family]
    for network in entry.networks:
        for flat, module in names(family, network.target).items():
            stored = keys[network.prefix + module.weight]
            rows = module.rows
            here = stored if rows is None else (rows[1] - rows[0], *stored[1:])
            assert here == module.shape or here == module.shape[::-1], flat


@pytest.mark.slow
def test_diffusers_translation_of_a_kohya_sdxl_lora_names_the_same_places() -> None:
    from diffusers.loaders import lora_conversion_utils as theirs
    from diffusers.utils import logging

    logging.set_verbosity_error()
    kept = {
        f"lora_unet_{flat}": module
        for flat, module in names("sdxl", "unet").items()
        if flat.startswith(("input_", "middle_", "output_"))
        and "transformer_blocks" in flat
        and len(module.shape) == 2
    }
    assert len(kept) == 700
    state: dict[str, torch.Tensor] = {}
    for number, name in enumerate(kept):
        state[f"{name}.lora_down.weight"] = torch.tensor([[float(number)]])
        state[f"{name}.lora_up.weight"] = torch.tensor([[float(number)]])
    config = type("Config", (), {"layers_per_block": 2})
    state = theirs._maybe_map_sgm_blocks_to_diffusers(state, config)
    result, _ = theirs._convert_non_diffusers_lora_to_diffusers(state)
    ours = [resolve(name, "sdxl") for name in kept]
    downs = {key: value for key, value in result.items() if ".down." in key or ".lora_A." in key}
    assert len(downs) == 700
    for key, value in downs.items():
        taken = split(key)
        assert taken is not None and resolve(taken[0], "sdxl") == ours[int(value.item())], key


def test_packed_attention_is_placed_by_its_rows() -> None:
    name = "lora_te_text_model_encoder_layers_3_self_attn_{}_proj"
    rows = [place(name.format(letter), "sd2") for letter in "qkv"]
    assert [found.rows for found in rows if found] == [(0, 1024), (1024, 2048), (2048, 3072)]
    assert len({found.weight for found in rows if found}) == 1


def test_the_numbers_of_cloneofsimo_match_the_widths_in_his_file(real: Path) -> None:
    from safetensors import safe_open

    with safe_open(real / "lora-cloneofsimo-analog_svd_rank4.safetensors", "pt") as file:
        for target, count in (("unet", 144), ("text_encoder", 48)):
            paths = numbered("sd1", target)
            assert len(paths) == count
            for index, path in enumerate(paths):
                up = file.get_slice(f"{target}:{index}:up").get_shape()
                down = file.get_slice(f"{target}:{index}:down").get_shape()
                found = place(f"{target}.{path}", "sd1")
                assert found is not None and found.shape[:2] == (up[0], down[1])
