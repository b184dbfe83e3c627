"""Small LoRA files of every kind, in any spelling, and what they do to a small model's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from loras import KINDS, random
from sfumato.containers.arrays import tensor_from
from sfumato.containers.dtype import F32, DType
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.operations.adapters.deltas.kinds import change, scale
from sfumato.operations.adapters.layering import read_slots
from sfumato.operations.adapters.lora import read_lora
from sfumato.operations.adapters.opened import target_of_file
from sfumato.operations.adapters.sites import sites
from sfumato.operations.adapters.target import Target
from sfumato.operations.into_torch import read_into
from sfumato.operations.lora.spellings import BY_NAME, Style

ONLY = (
    "to_q",
    "proj_in",
    "ff.net.0.proj",
    "layers.1.mlp.fc1",
    "layers.0.self_attn.q_proj",
    "resnets.0.conv1",
)
"""parts of the names of the modules that a small LoRA changes"""


def lora_arrays(
    target: Target, kind: str = "lora", style: str = "kohya", only: tuple[str, ...] = ONLY
) -> dict[str, np.ndarray]:
    """The tensors of a LoRA of one kind for a model."""
    own: Style = BY_NAME[style]
    found: dict[str, np.ndarray] = {}
    for site in sites(target):
        for module in site.modules:
            wanted = any(part in module.diffusers for part in only)
            if wanted and (len(module.shape) > 1) == (kind != "norm"):
                path = own.path(site.role, module, target.family)
                for slot, shape in KINDS[kind](module.shape).items():
                    found[f"{path}.{slot}"] = random(f"{kind}{path} {slot}", shape)
    return found


def write_lora(
    path: Path,
    model: Path,
    kind: str = "lora",
    dtype: DType = F32,
    *,
    style: str = "kohya",
    only: tuple[str, ...] = ONLY,
) -> Path:
    """Write a LoRA of one kind for a model."""
    with open_model(model) as file:
        arrays = lora_arrays(target_of_file(file), kind, style, only)
    save(path, {name: tensor_from(array, dtype) for name, array in arrays.items()})
    return path


def deltas(lora: Path, model: Path) -> dict[str, torch.Tensor]:
    """Key of the weight → all that a LoRA adds to it, by the formulas of its kind."""
    with open_model(model) as file:
        return dict(_deltas(lora, target_of_file(file)))


def _deltas(lora: Path, target: Target) -> Iterator[tuple[str, torch.Tensor]]:
    found: dict[str, torch.Tensor] = {}
    opened = read_lora(lora, target)
    assert not opened.notes
    for part in opened.parts:
        weight = torch.empty(target.tensors[part.key].shape)
        read_into(weight, target.tensors[part.key])
        slots = read_slots(opened, part)
        delta = found.setdefault(part.key, torch.zeros_like(weight))
        own = change(part.kind, slots, part.view.of(weight), scale=scale(part.kind, slots))
        part.view.of(delta).add_(own)
    opened.close()
    yield from found.items()


def apart(one: Mapping[str, torch.Tensor], two: Mapping[str, torch.Tensor]) -> float:
    """The largest relative distance of any two changes; infinite where one has more of them."""
    if one.keys() != two.keys():
        return float("inf")
    return max(float((one[key] - two[key]).norm() / one[key].norm()) for key in one)
