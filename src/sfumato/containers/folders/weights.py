"""The weight files of a folder: how they are named, and which of them is the one to read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

STEMS = (
    "diffusion_pytorch_model",
    "model",
    "pytorch_model",
    "adapter_model",
    "pytorch_lora_weights",
    "learned_embeds",
)
"""names that diffusers, transformers and PEFT give to weights, without variant and suffix"""

_NAME = re.compile(
    rf"(?P<stem>{'|'.join(STEMS)})(?:\.(?P<variant>[A-Za-z0-9_]+))?"
    r"\.(?P<suffix>safetensors|bin)(?P<index>\.index(?:\.(?P<late>[A-Za-z0-9_]+))?\.json)?"
)


@dataclass(frozen=True, slots=True)
class Weights:
    """One file that holds, or one index that lists, the weights of a folder."""

    name: str
    stem: str
    variant: str
    """fp16, non_ema …; empty for the plain file"""
    suffix: str
    sharded: bool
    """the name is that of an index.json"""


def weight_files(names: Iterable[str]) -> list[Weights]:
    """The names that are weights; single shards are not among them."""
    matches = [(name, _NAME.fullmatch(name)) for name in names]
    return [
        Weights(
            name,
            match["stem"],
            match["variant"] or match["late"] or "",
            match["suffix"],
            match["index"] is not None,
        )
        for name, match in matches
        if match
    ]


def by_preference(found: Iterable[Weights], variant: str | None = None) -> list[Weights]:
    """The wanted variant first, then safetensors before pickles, then the plain file."""

    def rank(weights: Weights) -> tuple[bool, bool, bool, int, bool, str]:
        return (
            variant is not None and weights.variant != variant,
            weights.suffix != "safetensors",
            weights.variant != "",
            STEMS.index(weights.stem),
            weights.sharded,
            weights.name,
        )

    return sorted(found, key=rank)
