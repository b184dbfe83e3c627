"""LoRAs for models of no published size: their modules bear a family's names all the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from sfumato.catalogue.adapters.grouping import Change
from sfumato.catalogue.adapters.lora_family import Fit
from sfumato.catalogue.adapters.lora_names import FAMILIES, Family, names

NUMBER = re.compile(r"(?<=_)\d{1,3}(?=_|$)")
"""the number of a block or a layer, of which a model may have more or fewer"""


def custom_fits(changes: Sequence[Change]) -> list[Fit]:
    """The families of whose modules every change is named, whatever their number and sizes.

    Names alone tell SD1 from SD2 as little as a UNet of SDXL from either; metadata may.
    """
    shapeless = {(change.target, _without_numbers(change.flat)) for change in changes}
    return [
        Fit(family, known=list(changes), custom=True)
        for family in FAMILIES
        if shapeless and all(_is_named(family, *each) for each in shapeless)
    ]


def _is_named(family: Family, target: str, flat: str) -> bool:
    targets = [target] if target else [network.target for network in family.networks]
    return any(flat in _patterns(family.name, each) for each in targets)


@lru_cache(maxsize=16)
def _patterns(family: str, target: str) -> frozenset[str]:
    """Every name of one network's modules, without numbers."""
    return frozenset(_without_numbers(name) for name in names(family, target))


def _without_numbers(flat: str) -> str:
    return NUMBER.sub("#", flat)
