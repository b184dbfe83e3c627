"""The settings that PEFT writes beside a LoRA's tensors, in a file of the same folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sfumato.catalogue.configs import settings
from sfumato.containers.strict_json import Json

CONFIG = "adapter_config.json"
"""the metadata key under which its text is kept, which is the file's name"""

LARGEST = 1e9


def peft_alphas(metadata: Mapping[str, str]) -> tuple[float, ...]:
    """The alphas that the settings give, for the whole file and for single modules, ascending."""
    config = settings(metadata, CONFIG)
    patterns = config.get("alpha_pattern")
    several = patterns.values() if isinstance(patterns, dict) else ()
    return tuple(sorted({*_numbers(config.get("lora_alpha"), *several)}))


def peft_contradictions(metadata: Mapping[str, str], ranks: tuple[int, ...]) -> Iterator[str]:
    """A rank in the settings that no tensor has."""
    for rank in _numbers(settings(metadata, CONFIG).get("r")):
        if ranks and rank not in ranks:
            found = ", ".join(map(str, ranks[:5]))
            yield f"{CONFIG} says r {rank:g}, the tensors have rank {found}"


def _numbers(*values: Json) -> Iterator[float]:
    for value in values:
        if isinstance(value, int | float) and value is not True and 0 < value < LARGEST:
            yield float(value)
