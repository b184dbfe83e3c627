"""Where in a model the modules are that LoRAs change: names from the model's real sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sfumato.catalogue.adapters.grouping import Change
from sfumato.catalogue.adapters.lora_names import Names, in_number, tabulate
from sfumato.catalogue.spelling.networks import Module, unet_modules
from sfumato.catalogue.spelling.texts import clip_modules, openclip_modules
from sfumato.catalogue.trees.text import Text
from sfumato.catalogue.trees.unet import UNet
from sfumato.operations.adapters.target import Body, Target


@dataclass(frozen=True, slots=True)
class Site:
    """One network of a model, as adapters see it."""

    role: str
    """unet | text_encoder | text_encoder_2"""
    prefix: str
    """what its keys begin with"""
    modules: Sequence[Module]
    names: Names


def sites(target: Target) -> tuple[Site, ...]:
    """The networks of `target` that LoRAs change."""
    found = ((network, _modules(network)) for network in target.networks)
    return tuple(
        Site(network.role, network.prefix, modules, tabulate(modules))
        for network, modules in found
        if modules
    )


def _modules(network: Body) -> Sequence[Module]:
    if isinstance(network.sizes, UNet):
        return unet_modules(network.sizes)
    if not isinstance(network.sizes, Text):
        return ()
    return openclip_modules(network.sizes) if network.openclip else clip_modules(network.sizes)


def find(change: Change, among: Sequence[Site]) -> tuple[Site, Module] | None:
    """The module that a change is of; None where the model has no such module."""
    for site in among:
        if change.target in ("", site.role):
            module = site.names.get(change.flat)
            if module is not None:
                return site, module
    return None


def rename_numbered(changes: Sequence[Change], among: Sequence[Site]) -> list[Change]:
    """Changes of cloneofsimo's trainer with the names of the modules that have their numbers.

    A UNet must have as many modules; of a text encoder's layers the last may be missing, where
    the family does not use them.
    """
    paths = {site.role: in_number(site.modules, site.role) for site in among}
    counts = {role: sum(change.target == role for change in changes) for role in paths}
    renamed: list[Change] = []
    for change in changes:
        known, number = paths.get(change.target, ()), int(change.name.rpartition(":")[2])
        exact = change.target != "unet" or len(known) == counts[change.target]
        flat = known[number].replace(".", "_") if exact and number < len(known) else ""
        renamed.append(change._replace(flat=flat))
    return renamed
