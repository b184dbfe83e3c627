"""The settings that PEFT writes beside a LoRA's tensors, in a file of the same folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import sqrt

from sfumato.catalogue.configs import settings
from sfumato.containers.strict_json import Json

CONFIG = "adapter_config.json"
"""the metadata key under which its text is kept, which is the file's name"""

PACKED = "lora_adapter_metadata"
"""the metadata key under which diffusers keeps the same settings, each begun by its network"""

LARGEST = 1e9


def network_settings(metadata: Mapping[str, str], target: str) -> Mapping[str, Json]:
    """The settings for one network (unet, text_encoder …); empty where the file has none."""
    own = settings(metadata, CONFIG)
    if own:
        return own
    packed = settings(metadata, PACKED)
    start = f"{target}."
    return {key[len(start) :]: value for key, value in packed.items() if key.startswith(start)}


def peft_scale(told: Mapping[str, Json], module: str, rank: int) -> float | None:
    """What PEFT multiplies a change by: alpha / r, or alpha / √r; None where nothing says so.

    told: `network_settings`. module: dotted path in the network. rank: of the tensors; 0 takes r.
    """
    usual = told.get("lora_alpha", told.get("alpha"))
    alpha = next(_numbers(_patterned(told.get("alpha_pattern"), module), usual), None)
    r = rank or next(_numbers(_patterned(told.get("rank_pattern"), module), told.get("r")), 0)
    if alpha is None or not r:
        return None
    return alpha / (sqrt(r) if told.get("use_rslora") is True else r)


def _patterned(patterns: Json, module: str) -> Json:
    """The value for the first pattern that ends the module's path, taken literally.

    PEFT takes patterns for regular expressions, which a file from elsewhere must not bring along.
    """
    for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
        path = pattern.removesuffix("$").replace("\\.", ".")
        if path.removeprefix("^") == module or module.endswith(f".{path}"):
            return value
    return None


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
