"""The spellings that LoRA files are written in: whose names for modules, whose for tensors."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sfumato.catalogue.adapters.suffixes import SUFFIXES
from sfumato.catalogue.spelling.networks import Module
from sfumato.containers.text import escape
from sfumato.errors import UsageError

Naming = Callable[[str, Module, str], str]
"""role, module, family → what the module's keys begin with; empty where it has no name"""

Endings = Mapping[tuple[str, str], str]
"""kind and slot → what a tensor's key ends in; no kind for a slot that several have"""

SHARED = ("", "dora", "norm", "bias")
"""flavours of the catalogue whose tensors stand beside those of any kind"""

ENDINGS: Endings = {
    ("" if suffix.flavour in SHARED else suffix.flavour, suffix.slot): suffix.text
    for suffix in reversed(SUFFIXES)
    if suffix.dialect in ("", "kohya") and suffix.text[0] == "."
}
"""endings as kohya and LyCORIS write them: the first of the catalogue's"""


def _pair(down: str, up: str) -> Endings:
    return {("lora", "down"): down, ("lora", "up"): up}


PEFT: Endings = {
    **_pair(".lora_A.weight", ".lora_B.weight"),
    ("lora", "up_bias"): ".lora_B.bias",
    ("", "magnitude"): ".lora_magnitude_vector.weight",
    ("ia3-peft", "factor"): ".ia3_l",
    ("oft-peft", "blocks"): ".oft_R.weight",
}
"""the same as PEFT writes them"""

ALIKE: Mapping[str, str] = {
    "locon": "lora", "lora-bias": "lora", "glora-old": "glora", "boft": "oft",
}  # fmt: skip
"""kinds whose tensors are called as another's"""


def _flat(path: str) -> str:
    return path.replace(".", "_")


def _kohya(role: str, module: Module, family: str) -> str:
    """SD1 and SD2 by diffusers' names, SDXL by the original ones (kohya's networks/lora.py)."""
    original = role == "unet" and family.startswith("sdxl")
    return _beginning(role, family) + _flat(module.ldm if original else module.diffusers)


def _onetrainer(role: str, module: Module, family: str) -> str:
    return _beginning(role, family) + _flat(module.diffusers)


def _beginning(role: str, family: str) -> str:
    first = "lora_te1_" if family.startswith("sdxl") else "lora_te_"
    return {"unet": "lora_unet_", "text_encoder": first, "text_encoder_2": "lora_te2_"}[role]


def _lycoris(role: str, module: Module, family: str) -> str:
    return "" if role == "text_encoder_2" else f"lycoris_{_flat(module.diffusers)}"


def _diffusers(role: str, module: Module, family: str) -> str:
    return f"{role}.{module.diffusers}"


CLIPS: Mapping[tuple[str, str], str] = {
    ("sd1", "text_encoder"): "clip_l",
    ("sd2", "text_encoder"): "clip_h",
    ("sdxl", "text_encoder"): "clip_l",
    ("sdxl", "text_encoder_2"): "clip_g",
    ("sdxl-refiner", "text_encoder_2"): "clip_g",
}
"""family, role → what ComfyUI calls the text encoder"""


def _comfyui(role: str, module: Module, family: str) -> str:
    if role == "unet":
        return f"diffusion_model.{module.ldm}"
    clip = CLIPS.get((family, role), "")
    return clip and f"text_encoders.{clip}.transformer.{module.diffusers}"


@dataclass(frozen=True, slots=True)
class Style:
    """One spelling."""

    name: str
    title: str
    path: Naming
    endings: Endings = field(default_factory=lambda: ENDINGS)
    text_endings: Endings = field(default_factory=dict[tuple[str, str], str])
    """endings for text encoders, where they differ"""
    scales: bool = True
    """False where no tensor says alpha: the scale is multiplied into the factors"""

    def ending(self, role: str, kind: str, slot: str) -> str:
        """What the key of a tensor ends in; empty where this spelling has no word for it."""
        own = self.text_endings if role != "unet" and self.text_endings else self.endings
        return own.get((ALIKE.get(kind, kind), slot)) or own.get(("", slot), "")


STYLES: tuple[Style, ...] = (
    Style("kohya", "kohya's names, which A1111, Forge and ComfyUI read", _kohya),
    Style("onetrainer", "kohya's with diffusers' names of blocks, for SDXL too", _onetrainer),
    Style("lycoris", "LyCORIS' names without a trainer", _lycoris),
    Style("comfyui", "the original names with dots, as ComfyUI saves", _comfyui),
    Style("peft", "names of diffusers with PEFT", _diffusers, PEFT, scales=False),
    Style(
        "diffusers-0.2",
        "names of diffusers before PEFT",
        _diffusers,
        _pair(".lora.down.weight", ".lora.up.weight"),
        _pair(".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
        scales=False,
    ),
)
"""every spelling that is written"""

BY_NAME: dict[str, Style] = {style.name: style for style in STYLES}

ALIASES: Mapping[str, str] = {
    "diffusers": "peft",
    "comfy": "comfyui",
    "a1111": "kohya",
    "kohya-sgm": "kohya",
    "kohya-diffusers": "onetrainer",
    "peft-folder": "peft",
    "diffusers-attn-procs": "diffusers-0.2",
    "ldm": "comfyui",
    "generic": "comfyui",
}
"""other words, and the catalogue's names for spellings that are read → what is written for them"""


def style_named(name: str) -> Style:
    """The spelling of that name; raises UsageError with the nearest."""
    found = BY_NAME.get(ALIASES.get(name.lower(), name.lower()))
    if found is None:
        near = difflib.get_close_matches(name.lower(), [*BY_NAME, *ALIASES], 1, 0.0) or ["kohya"]
        known = ", ".join(BY_NAME)
        raise UsageError(f"{escape(name, 40)}: no such spelling; nearest: {near[0]} (of {known})")
    return found


def style_like(spelling: str) -> Style:
    """What a file of one of the catalogue's spellings is written in again.

    There, "diffusers" is what diffusers wrote before PEFT.
    """
    own = "diffusers-0.2" if spelling == "diffusers" else spelling
    return BY_NAME.get(ALIASES.get(own, own), STYLES[0])
