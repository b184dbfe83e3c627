"""What PEFT's settings say of the scale of a change, and what is not taken from them."""

from __future__ import annotations

import json

import pytest

from sfumato.catalogue.adapters.peft_config import network_settings, peft_scale
from sfumato.containers.strict_json import Json

TO_Q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.mark.parametrize(
    ("settings", "rank", "expected"),
    [
        ({"r": 8, "lora_alpha": 4}, 8, 0.5),
        ({"r": 8, "alpha": 4}, 0, 0.5),
        ({"r": 4, "lora_alpha": 6, "use_rslora": True}, 4, 3.0),
        ({"r": 8, "lora_alpha": 4, "alpha_pattern": {"attn1.to_q": 16}}, 8, 2.0),
        ({"r": 8, "lora_alpha": 4, "alpha_pattern": {r"^down_blocks\.0": 16}}, 8, 0.5),
        ({"r": 8, "lora_alpha": 4, "rank_pattern": {r"to_q$": 2}}, 0, 2.0),
        ({"r": 8, "lora_alpha": 4, "alpha_pattern": {"(a+)+$": 16}}, 8, 0.5),
        ({"lora_alpha": 4}, 0, None),
        ({"r": 8, "lora_alpha": float("nan")}, 8, None),
        ({"r": 8, "lora_alpha": True}, 8, None),
        ({}, 8, None),
    ],
)
def test_the_scale_is_alpha_over_the_rank_by_the_settings(
    settings: dict[str, Json], rank: int, expected: float | None
) -> None:
    assert peft_scale(settings, TO_Q, rank) == expected


def test_settings_are_taken_from_a_folder_or_from_diffusers_metadata() -> None:
    folder = {"adapter_config.json": json.dumps({"r": 8})}
    packed = {"lora_adapter_metadata": json.dumps({"unet.r": 4, "text_encoder.r": 2})}
    assert network_settings(folder, "unet") == {"r": 8}
    assert network_settings(packed, "unet") == {"r": 4}
    assert network_settings({"lora_adapter_metadata": "[["}, "unet") == {}
