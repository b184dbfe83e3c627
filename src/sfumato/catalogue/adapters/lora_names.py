"""The flattened names by which LoRAs call the modules of each family, read off the spelling tables.

Underscores cannot be turned back into dots by rule (`to_out_0`, `proj_in`), so every name is looked
up among the names of all modules that exist, in the original spelling and in that of diffusers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from sfumato.catalogue.adapters.prefixes import locate
from sfumato.catalogue.families import TITLES
from sfumato.catalogue.spelling.networks import Module, unet_modules
from sfumato.catalogue.spelling.texts import clip_modules, openclip_modules
from sfumato.catalogue.trees.text import CLIP_G, CLIP_H, CLIP_L
from sfumato.catalogue.trees.unet import REFINER, SD1, SD2, SDXL


@dataclass(frozen=True, slots=True)
class Network:
    """One network of a family, as adapters see it."""

    target: str
    """unet | text_encoder | text_encoder_2"""
    prefix: str
    """what its keys begin with in a checkpoint"""
    modules: Callable[[], tuple[Module, ...]]
    unused: str = ""
    """path of a layer that trainers never reach, because the family does not use it"""

    def reaches(self, module: Module) -> bool:
        """True for modules that trainers change."""
        return not self.unused or self.unused not in module.diffusers


@dataclass(frozen=True, slots=True)
class Family:
    """The networks that adapters of one family change."""

    name: str
    networks: tuple[Network, ...]

    @property
    def title(self) -> str:
        """As a person says it."""
        return TITLES[self.name]


UNET = "model.diffusion_model."

FAMILIES: tuple[Family, ...] = (
    Family(
        "sd1",
        (
            Network("unet", UNET, lambda: unet_modules(SD1)),
            Network("text_encoder", "cond_stage_model.transformer.", lambda: clip_modules(CLIP_L)),
        ),
    ),
    Family(
        "sd2",
        (
            Network("unet", UNET, lambda: unet_modules(SD2)),
            # SD2 reads the last but one layer, so transformers keeps 23 of OpenCLIP's 24.
            Network(
                "text_encoder",
                "cond_stage_model.model.",
                lambda: openclip_modules(CLIP_H),
                unused=".layers.23.",
            ),
        ),
    ),
    Family(
        "sdxl",
        (
            Network("unet", UNET, lambda: unet_modules(SDXL)),
            Network(
                "text_encoder",
                "conditioner.embedders.0.transformer.",
                lambda: clip_modules(CLIP_L),
            ),
            Network(
                "text_encoder_2",
                "conditioner.embedders.1.model.",
                lambda: openclip_modules(CLIP_G),
            ),
        ),
    ),
    Family(
        "sdxl-refiner",
        (
            Network("unet", UNET, lambda: unet_modules(REFINER)),
            Network(
                "text_encoder",
                "conditioner.embedders.0.model.",
                lambda: openclip_modules(CLIP_G),
            ),
        ),
    ),
)
"""families whose modules are known by name, the commonest first"""

BY_NAME: dict[str, Family] = {family.name: family for family in FAMILIES}


class Place(NamedTuple):
    """Where in a checkpoint a LoRA's module is."""

    target: str
    """unet | text_encoder | text_encoder_2"""
    module: str
    """the module's whole path in the original spelling"""
    weight: str
    """the whole key of the weight it changes"""
    rows: tuple[int, int] | None
    """rows of that weight that are the module's, where query, key and value share one tensor"""
    shape: tuple[int, ...]
    """shape of the weight, or of those rows, as the adapter sees it"""


Names = Mapping[str, Module]
"""flattened name → the module, for one network"""


@lru_cache(maxsize=16)
def names(family: str, target: str) -> Names:
    """Every flattened name of the modules of one network, in both spellings; empty for unknown."""
    network = _network(family, target)
    return tabulate(network.modules() if network else ())


def tabulate(modules: Iterable[Module]) -> Names:
    """Every flattened name of `modules`, in both spellings."""
    found: dict[str, Module] = {}
    for module in modules:
        flat = module.diffusers.replace(".", "_")
        found[flat] = module
        if module.rows is None and module.ldm != module.diffusers:
            found.setdefault(module.ldm.replace(".", "_"), module)
        if flat.startswith("text_model_"):
            found.setdefault(flat[len("text_model_") :], module)
    return found


def _network(family: str, target: str) -> Network | None:
    networks = BY_NAME[family].networks if family in BY_NAME else ()
    return next((network for network in networks if network.target == target), None)


def place(module_name: str, family: str) -> Place | None:
    """Where the module that a LoRA calls `module_name` is in a checkpoint of `family`.

    The name may be in any spelling: kohya's with either block names, diffusers', PEFT's, LyCORIS',
    or the original path. None for a name that is no module of the family.
    """
    target, flat, _ = locate(module_name)
    networks = BY_NAME[family].networks if family in BY_NAME else ()
    for network in networks:
        if target not in ("", network.target):
            continue
        if (module := names(family, network.target).get(flat)) is not None:
            path, weight = network.prefix + module.ldm, network.prefix + module.weight
            return Place(network.target, path, weight, module.rows, module.shape)
    return None


def resolve(module_name: str, family: str) -> str | None:
    """The original path of the module that a LoRA calls `module_name`, or None.

    For OpenCLIP's packed attention that is `….attn.in_proj`; `place` says which of its rows.
    """
    found = place(module_name, family)
    return None if found is None else found.module


def scope(module: Module) -> str:
    """Which group of modules trainers choose together: attention | convolution | norm | outer."""
    if len(module.shape) < 2:
        return "norm"
    path = module.diffusers
    if ".attentions." in path or ".encoder.layers." in path:
        return "attention"
    return "convolution" if ".resnets." in path or "samplers." in path else "outer"


@lru_cache(maxsize=16)
def possible(family: str) -> Mapping[str, int]:
    """How many modules `family` has in each scope, over all its networks."""
    counts: dict[str, int] = {}
    for network in BY_NAME[family].networks if family in BY_NAME else ():
        for module in network.modules():
            if network.reaches(module):
                counts[scope(module)] = counts.get(scope(module), 0) + 1
    return counts


@lru_cache(maxsize=4)
def numbered(family: str, target: str) -> tuple[str, ...]:
    """Paths in the order in which cloneofsimo's trainer numbered them, in diffusers' spelling.

    It walked the attention layers and the feed-forward's first layer of each transformer block in
    the order of diffusers 0.10 (attn1, ff, attn2), the middle block last; in the text encoder
    the attention layers in the order key, value, query, output.
    """
    network = _network(family, target)
    if network is None:
        return ()
    modules = tuple(module for module in network.modules() if network.reaches(module))
    return in_number(modules, target)


def in_number(modules: Iterable[Module], target: str) -> tuple[str, ...]:
    """The same for the modules of any network that `target` says the sort of."""
    paths = [module.diffusers for module in modules]
    if target != "unet":
        return tuple(path for path in paths if ".self_attn." in path)
    blocks = [path[: -len(".attn1.to_q")] for path in paths if path.endswith(".attn1.to_q")]
    order = {"down_blocks": 0, "up_blocks": 1, "mid_block": 2}
    blocks.sort(key=lambda block: order[block.split(".")[0]])  # stable: else as in the network
    return tuple(f"{block}.{layer}" for block in blocks for layer in NUMBERED)


NUMBERED: tuple[str, ...] = (
    "attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ff.net.0.proj",
    "attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0",
)  # fmt: skip
"""the layers of one transformer block that cloneofsimo's trainer changed"""
