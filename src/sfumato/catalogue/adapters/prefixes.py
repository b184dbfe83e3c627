"""The beginnings of LoRA keys: which network a module belongs to, and who names it like this."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Prefix:
    """One beginning that trainers give to a module's name."""

    text: str
    target: str = ""
    """unet | text_encoder | text_encoder_2 | text_encoder_3 | dit; empty where the rest decides"""
    scheme: str = ""
    """who names like this; empty where another prefix or the suffix decides"""


PREFIXES: tuple[Prefix, ...] = (
    Prefix("lora_unet_", "unet", "kohya"),
    Prefix("lora_te1_", "text_encoder", "kohya"),
    Prefix("lora_te2_", "text_encoder_2", "kohya"),
    Prefix("lora_te3_", "text_encoder_3", "onetrainer"),
    Prefix("lora_te_", "text_encoder", "kohya"),
    Prefix("lora_prior_unet_", "unet", "cascade"),
    Prefix("lora_prior_te_", "text_encoder", "cascade"),
    Prefix("lora_transformer_", "dit", "onetrainer"),
    Prefix("oft_unet_", "unet", "kohya"),
    Prefix("oft_te_", "text_encoder", "kohya"),
    Prefix("lycoris_", "", "lycoris"),
    Prefix("base_model.model.", "", "peft-folder"),
    Prefix("base_model.", "", "peft-folder"),
    Prefix("unet.", "unet"),
    Prefix("unet_", "unet"),
    Prefix("text_encoders.clip_l.transformer.", "text_encoder", "generic"),
    Prefix("text_encoders.clip_h.transformer.", "text_encoder", "generic"),
    Prefix("text_encoders.clip_g.transformer.", "text_encoder_2", "generic"),
    Prefix("text_encoders.t5xxl.transformer.", "text_encoder_3", "generic"),
    Prefix("text_encoder_2.", "text_encoder_2"),
    Prefix("text_encoder_2_", "text_encoder_2"),
    Prefix("text_encoder_3.", "text_encoder_3"),
    Prefix("text_encoder.", "text_encoder"),
    Prefix("text_encoder_", "text_encoder"),
    Prefix("model.diffusion_model.", "unet", "generic"),
    Prefix("diffusion_model.", "unet", "ldm"),
    Prefix("cond_stage_model.transformer.", "text_encoder", "generic"),
    Prefix("cond_stage_model.model.", "text_encoder", "generic"),
    Prefix("conditioner.embedders.0.transformer.", "text_encoder", "generic"),
    Prefix("conditioner.embedders.0.model.", "text_encoder", "generic"),
    Prefix("conditioner.embedders.1.model.", "text_encoder_2", "generic"),
    Prefix("transformer.", "dit"),
    Prefix("lora.", ""),
    Prefix("model.", ""),
)
"""every beginning; of two that fit, the one that stands first here counts"""

BY_TEXT: dict[str, Prefix] = {prefix.text: prefix for prefix in PREFIXES}

# OpenCLIP names begin with `transformer.` too.
_BEGINNING = re.compile(
    r"(?!transformer\.resblocks)(?:" + "|".join(re.escape(p.text) for p in PREFIXES) + ")"
)

_DIT = re.compile(
    r"(?:double_blocks|single_blocks|joint_blocks|transformer_blocks|single_transformer_blocks"
    r"|blocks|layers)_\d"
)
_TEXT = re.compile(r"text_model_|encoder_layers_|transformer_resblocks_|text_projection")
_UNET = re.compile(
    r"(?:down_blocks|up_blocks|mid_block|input_blocks|output_blocks|middle_block|time_embed"
    r"|conv_in|conv_out|add_embedding|label_emb|out)_"
)

PROCESSOR: tuple[tuple[str, str], ...] = (
    ("to_q", "q_proj"),
    ("to_k", "k_proj"),
    ("to_v", "v_proj"),
    ("to_out", "out_proj"),
)
"""attention layers of a text encoder: as diffusers named their LoRAs, as they are called"""


class Located(NamedTuple):
    """A module's name taken apart."""

    target: str
    """which network; empty where nothing tells"""
    flat: str
    """the name inside that network, dots as underscores: what module tables are keyed by"""
    scheme: str
    """scheme of the prefix; empty where it has none"""


def locate(module: str) -> Located:
    """Take the name of a LoRA's module apart."""
    target = scheme = ""
    rest = module
    for _ in range(2):
        match = _BEGINNING.match(rest)
        if match is None:
            break
        prefix = BY_TEXT[match[0]]
        target, scheme = prefix.target or target, scheme or prefix.scheme
        rest = rest[match.end() :]
        if target:
            break
    if "." in rest:
        rest = rest.replace(".processor.", ".").replace(".", "_")
    return Located(_narrow(target, rest), _spelled_out(target, rest), scheme)


def _narrow(target: str, flat: str) -> str:
    if target in ("", "unet") and _DIT.match(flat):
        return "dit"
    if target:
        return target
    if _TEXT.match(flat):
        return "text_encoder"
    return "unet" if _UNET.match(flat) else ""


def _spelled_out(target: str, flat: str) -> str:
    """The name with what diffusers' first LoRAs shortened put back."""
    if flat.endswith("_to_out"):
        return f"{flat[:-6]}out_proj" if target.startswith("text") else f"{flat}_0"
    if target.startswith("text"):
        for short, name in PROCESSOR:
            if flat.endswith(f"_{short}"):
                return flat[: -len(short)] + name
    return flat
