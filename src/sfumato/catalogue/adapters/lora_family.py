"""The family a LoRA was made for: the one among whose modules its names and shapes are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from sfumato.catalogue.adapters.grouping import Change
from sfumato.catalogue.adapters.lora_names import FAMILIES, Family, names, scope
from sfumato.catalogue.spelling.networks import Module
from sfumato.containers.text import escape


@dataclass(slots=True)
class Fit:
    """How well the changes of a file sit in one family."""

    family: Family
    known: list[Change] = field(default_factory=list[Change])
    unknown: list[Change] = field(default_factory=list[Change])
    """changes whose names are no modules of the family"""
    reshaped: list[Change] = field(default_factory=list[Change])
    """changes of known modules, of other sizes than the family's"""
    scopes: set[str] = field(default_factory=set[str])
    custom: bool = False
    """True where only the names are the family's: the model is of no published size"""

    @property
    def agreeing(self) -> int:
        """Changes that sit in the family by name and by shape."""
        return len(self.known) - len(self.reshaped)

    @property
    def perfect(self) -> bool:
        """True where every change does."""
        return not self.unknown and not self.reshaped


CROSS_ATTENTION: Mapping[int, str] = {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl-refiner"}
"""inputs of a UNet's `attn2.to_k` → family"""

TEXT_WIDTHS: Mapping[int, str] = {768: "sd1", 1024: "sd2"}
"""inputs of the only text encoder's attention → family"""

FOREIGN: tuple[tuple[str, str, str], ...] = (
    ("lora_prior_", "cascade", "Stable Cascade"),
    ("distilled_guidance_layer", "chroma", "Chroma"),
    ("img_mlp_net", "qwen-image", "Qwen-Image"),
    ("single_transformer_blocks", "flux", "Flux"),
    ("double_blocks", "flux", "Flux"),
    ("single_blocks", "flux", "Flux"),
    ("joint_blocks", "sd3", "SD 3"),
    ("attn_add_", "sd3", "SD 3"),
    ("cross_attn_norm_k", "wan", "Wan"),
    ("blocks_0_cross_attn", "wan", "Wan"),
)
"""part of a module's name → families whose modules are not listed here, their titles"""


def fit(changes: Sequence[Change], family: Family) -> Fit:
    """Look every change up in one family."""
    result = Fit(family)
    tables = {network.target: names(family.name, network.target) for network in family.networks}
    for change in changes:
        module = _find(change, tables)
        if module is None:
            result.unknown.append(change)
            continue
        result.known.append(change)
        result.scopes.add(scope(module))
        if not _agrees(change, module):
            result.reshaped.append(change)
    return result


def _find(change: Change, tables: Mapping[str, Mapping[str, Module]]) -> Module | None:
    if change.target:
        table = tables.get(change.target)
        return None if table is None else table.get(change.flat)
    return next((t[change.flat] for t in tables.values() if change.flat in t), None)


def _agrees(change: Change, module: Module) -> bool:
    outputs, inputs = change.measure.outputs, change.measure.inputs
    if outputs and outputs != module.shape[0]:
        return False
    return not inputs or inputs in (prod(module.shape[1:]), (*module.shape, 0)[1])


def candidates(changes: Sequence[Change]) -> list[Fit]:
    """The families in which most changes sit, best first; one where a telling shape decides."""
    first = clue(changes)
    if first:
        tried = fit(changes, next(family for family in FAMILIES if family.name == first))
        if tried.perfect:
            return [tried]
    fits = [fit(changes, family) for family in FAMILIES]
    return sorted((f for f in fits if f.agreeing), key=lambda f: -f.agreeing)


def clue(changes: Sequence[Change]) -> str:
    """The family that one telling shape or name gives; empty where there is none."""
    for change in changes:
        if change.target == "unet" and change.flat.endswith(("attn2_to_k", "attn2_to_v")):
            found = CROSS_ATTENTION.get(change.measure.inputs)
            if found:
                return found
    for change in changes:
        if change.name.startswith("lora_te_") and "self_attn" in change.flat:
            return TEXT_WIDTHS.get(change.measure.inputs, "")
    return ""


def foreign(changes: Sequence[Change]) -> tuple[str, str] | None:
    """Name and title of a family whose modules are not listed here, by its block names."""
    for mark, family, title in FOREIGN:
        if any(mark in change.flat or change.name.startswith(mark) for change in changes):
            return family, title
    return None


BASE_VERSIONS: tuple[tuple[str, str], ...] = (
    ("sdxl_", "sdxl"),
    ("sd_v1", "sd1"),
    ("sd_1", "sd1"),
    ("sd_v2", "sd2"),
    ("sd3", "sd3"),
    ("flux", "flux"),
)
"""beginnings of ss_base_model_version"""

ARCHITECTURES: tuple[tuple[str, str], ...] = (
    ("stable-diffusion-xl-v1-refiner", "sdxl-refiner"),
    ("stable-diffusion-xl", "sdxl"),
    ("stable-diffusion-v1", "sd1"),
    ("stable-diffusion-v2", "sd2"),
    ("stable-diffusion-v3", "sd3"),
    ("flux", "flux"),
)
"""beginnings of modelspec.architecture"""


def claims(metadata: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """What the metadata says of the family: field, its value, family."""
    said = list[tuple[str, str, str]]()
    for key, table in (
        ("ss_base_model_version", BASE_VERSIONS),
        ("modelspec.architecture", ARCHITECTURES),
    ):
        value = metadata.get(key, "")
        family = next((name for start, name in table if value.lower().startswith(start)), "")
        if family:
            said.append((key, escape(value, 60), family))
    if metadata.get("ss_v2") == "True":
        said.append(("ss_v2", "True", "sd2"))
    return said
