"""Adapter files made up for tests: names, dtypes and shapes whose bytes nobody may read."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from sfumato.catalogue.spelling.networks import Module, unet_modules
from sfumato.catalogue.spelling.texts import clip_modules, openclip_modules
from sfumato.catalogue.trees.text import CLIP_G, CLIP_H, CLIP_L
from sfumato.catalogue.trees.unet import SD1, SD2, SDXL
from sfumato.containers.dtype import DTYPES, F16, DType
from sfumato.containers.tensor import Tensor

Shape = tuple[int, ...]


def unread(*shape: int, dtype: DType = F16) -> Tensor:
    """A tensor that fails the test when it is read."""

    def read() -> bytes:
        raise AssertionError("identification reads no tensor")

    return Tensor(dtype, shape, read)


def model(shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
    return {name: unread(*shape) for name, shape in shapes.items()}


def attention(modules: Iterable[Module]) -> list[Module]:
    """The linear layers and 1×1 convolutions that kohya's trainer changes by default."""
    return [
        m
        for m in modules
        if len(m.shape) > 1 and (".attentions." in m.diffusers or ".layers." in m.diffusers)
    ]


NETWORKS: dict[str, dict[str, list[Module]]] = {
    "sd1": {
        "lora_unet_": attention(unet_modules(SD1)),
        "lora_te_": attention(clip_modules(CLIP_L)),
    },
    "sd2": {
        "lora_unet_": attention(unet_modules(SD2)),
        "lora_te_": [
            m for m in attention(openclip_modules(CLIP_H)) if ".layers.23." not in m.diffusers
        ],
    },
    "sdxl": {
        "lora_unet_": attention(unet_modules(SDXL)),
        "lora_te1_": attention(clip_modules(CLIP_L)),
        "lora_te2_": attention(openclip_modules(CLIP_G)),
    },
}
"""what kohya's trainer calls each network, and the modules it changes in it"""


def kohya(family: str, *, rank: int = 4, only: str = "", sgm: bool = False) -> dict[str, Tensor]:
    """A LoRA as kohya's trainer writes it."""
    shapes: dict[str, Shape] = {}
    for prefix, modules in NETWORKS[family].items():
        if not prefix.startswith(only):
            continue
        for module in modules:
            path = module.ldm if sgm and prefix == "lora_unet_" else module.diffusers
            shapes |= lora(prefix + path.replace(".", "_"), module.shape, rank)
    return model(shapes)


def lora(name: str, shape: Shape, rank: int = 4) -> dict[str, Shape]:
    """The tensors of one kohya module; convolutions as LoCon has them."""
    ones = (1,) * (len(shape) - 2)
    return {
        f"{name}.alpha": (),
        f"{name}.lora_down.weight": (rank, *shape[1:]),
        f"{name}.lora_up.weight": (shape[0], rank, *ones),
    }


def header(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Names, dtypes, shapes and metadata of a safetensors file, with nothing but json."""
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    entries = json.loads(raw[8 : 8 + size])
    metadata = entries.pop("__metadata__", {})
    tensors = {k: unread(*e["shape"], dtype=DTYPES[e["dtype"]]) for k, e in entries.items()}
    return tensors, metadata
