"""The block that a LoRA's change is in, by the names that people give to a UNet's blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from sfumato.catalogue.adapters.lora_names import BY_NAME, names, numbered, place
from sfumato.operations.merging.blocks import Blocks, blocks_of

TEXTS = {"text_encoder": "TE", "text_encoder_2": "TE2", "text_encoder_3": "TE3"}

ROUGH = re.compile(
    r"(?P<word>input_blocks|output_blocks|down_blocks|up_blocks)[_.](?P<number>\d+)"
    r"|(?P<middle>mid(?:dle)?_block)"
)
"""where in a UNet of unknown sizes a module is"""

NUMBERED = re.compile(r"[a-z_0-9]+:(\d+)")
"""a module of cloneofsimo's trainer, which gives numbers for names"""

WORDS = {"input_blocks": "IN{:02}", "output_blocks": "OUT{:02}", "down_blocks": "down {}"}
"""word of a name → block; those of diffusers hold several of the original ones"""

ORDER = ("TE", "TE2", "TE3", "IN", "down", "M", "mid", "OUT", "up")
"""beginnings of the names of blocks, in the order in which a picture passes them"""


def block_of(role: str, key: str, blocks: Blocks) -> str:
    """The block of a weight under its key in a checkpoint: IN04, M00, OUT11, TE, TE2 …"""
    return TEXTS.get(role) or blocks.of(key)


def rough_block_of(role: str, name: str, family: str) -> str:
    """The same for a module as a LoRA calls it, of which no model is there.

    family: where it is a published one, its blocks are known; else they are diffusers' larger ones.
    """
    key = _key(role, name, family) if family in BY_NAME else ""
    if key:
        return block_of(role, key, _published(family))
    match = ROUGH.search(name)
    if role in TEXTS or match is None:
        return TEXTS.get(role, "rest")
    if match["middle"]:
        return "M00" if match["middle"] == "middle_block" else "mid"
    return WORDS.get(match["word"], "up {}").format(int(match["number"]))


def _key(role: str, name: str, family: str) -> str:
    """The key of a module's weight in a published family; empty where it has none of this name."""
    counted = NUMBERED.fullmatch(name)
    if counted is None:
        found = place(name, family)
        return found.weight if found is not None else ""
    paths, number = numbered(family, role), int(counted[1])
    flat = paths[number].replace(".", "_") if number < len(paths) else ""
    module = names(family, role).get(flat)
    return module.weight if module is not None else ""


@cache
def _published(family: str) -> Blocks:
    unet = next(network for network in BY_NAME[family].networks if network.target == "unet")
    return blocks_of(module.weight for module in unet.modules())


def in_block_order(blocks: Iterable[str]) -> list[str]:
    """Blocks as a picture passes them: text encoders, down, middle, up, then what is left."""
    return sorted(blocks, key=_rank)


def _rank(name: str) -> tuple[int, int, str]:
    word, digits = re.fullmatch(r"(.*?) ?(\d*)", name, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess]
    known = next((n for n, start in enumerate(ORDER) if start in (name, word)), len(ORDER))
    return known, int(digits or 0), name
