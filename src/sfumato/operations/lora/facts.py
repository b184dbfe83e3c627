"""What a new LoRA file says of itself: kohya's `ss_` keys that programs look for, modelspec."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sfumato.catalogue.adapters.peft_config import CONFIG, PACKED
from sfumato.containers.model_file import SAFETENSORS, TORCH_ZIP, Container, Key, ModelFile, Tree
from sfumato.containers.tensor import Tensors
from sfumato.errors import UsageError
from sfumato.operations.beside import metadata_of
from sfumato.operations.convert import container_named
from sfumato.operations.lora.made import Made, is_kernel

BASES: Mapping[tuple[str, bool], str] = {
    ("sd1", False): "sd_v1", ("sd1", True): "sd_v1",
    ("sd2", False): "sd_v2", ("sd2", True): "sd_v2_v",
    ("sdxl", False): "sdxl_base_v1-0", ("sdxl", True): "sdxl_base_v1-0",
}  # fmt: skip
"""family, whether it predicts v → kohya's name of the base model"""

ARCHITECTURES: Mapping[tuple[str, bool], str] = {
    ("sd1", False): "stable-diffusion-v1", ("sd1", True): "stable-diffusion-v1",
    ("sd2", False): "stable-diffusion-v2-512", ("sd2", True): "stable-diffusion-v2-768-v",
    ("sdxl", False): "stable-diffusion-xl-v1-base", ("sdxl", True): "stable-diffusion-xl-v1-base",
    ("sdxl-refiner", False): "stable-diffusion-xl-v1-refiner",
}  # fmt: skip
"""the same → modelspec's"""

DYNAMIC = "Dynamic"
"""what kohya writes for ranks and alphas that differ"""

RANKS = ("ss_network_module", "ss_network_dim", "ss_network_alpha", "ss_network_args")


def facts(
    every: Sequence[Made], family: str, *, v: bool, title: str, made_from: Iterable[str]
) -> dict[str, str]:
    """Metadata of a LoRA that was computed rather than trained.

    v: whether the model predicts v. made_from: names of the files it was computed from.
    """
    architecture = ARCHITECTURES.get((family, v), family)
    return {
        "format": "pt",
        "ss_base_model_version": BASES.get((family, v), family),
        "ss_v2": str(family == "sd2"),
        "ss_output_name": title,
        **ranks_said(every),
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": f"{architecture}/lora",
        "modelspec.implementation": "https://github.com/CompVis/stable-diffusion",
        "modelspec.title": title,
        "modelspec.prediction_type": "v" if v else "epsilon",
        "modelspec.merged_from": ", ".join(made_from),
    }


def ranks_said(every: Sequence[Made]) -> dict[str, str]:
    """Module, rank and alpha of plain layers in kohya's words; alpha is the rank."""
    usual = _ranks(made for made in every if not is_kernel(made.module.shape))
    kernels = _ranks(made for made in every if is_kernel(made.module.shape))
    plain = not kernels and all(made.slots.keys() <= {"down", "up", "alpha"} for made in every)
    arguments = {"conv_dim": _one(kernels), "conv_alpha": _one(kernels)} if kernels else {}
    if not plain:
        arguments |= {"algo": "lora"}
    return {
        "ss_network_module": "networks.lora" if plain or kernels else "lycoris.kohya",
        "ss_network_dim": _one(usual or kernels),
        "ss_network_alpha": _one(usual or kernels),
        "ss_network_args": json.dumps(arguments),
    }


def _ranks(every: Iterable[Made]) -> list[int]:
    return sorted({made.rank for made in every if made.rank})


def _one(ranks: Sequence[int]) -> str:
    return str(ranks[0]) if len(ranks) == 1 else DYNAMIC


def carried(file: ModelFile, container: Container) -> dict[str, str]:
    """A LoRA's own metadata for a file made from it, without what is true of its tensors only."""
    own = metadata_of(file, container)
    return {
        key: text for key, text in own.items() if key.rpartition("/")[2] not in (CONFIG, PACKED)
    }


def lora_container(name: str | None, target: Path) -> Container:
    """Where a LoRA is written to; raises UsageError for formats in which no program expects one."""
    found = container_named(name, target)
    if found not in (SAFETENSORS, TORCH_ZIP):
        raise UsageError(f"{target}: a LoRA is written as .safetensors or .pt, not {found.title}")
    return found


def lora_tree(tensors: Tensors, container: Container) -> Tree:
    """The dictionary that a pickle of a LoRA holds; None for other containers."""
    if container != TORCH_ZIP:
        return None
    tree: dict[Key, Tree] = {**tensors}
    return tree
