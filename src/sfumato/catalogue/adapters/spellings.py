"""The name of the spelling that a LoRA file is written in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from sfumato.catalogue.adapters.grouping import Change, Grouped

SGM = ("input_blocks_", "output_blocks_", "middle_block_")
"""beginnings of the UNet's module names in the original spelling"""


@dataclass(frozen=True, slots=True)
class Spelling:
    """A way to write a module's name and its suffixes."""

    name: str
    title: str
    fits: Callable[[Change], bool]


def _scheme(name: str) -> Callable[[Change], bool]:
    return lambda change: change.scheme == name


def _dialect(name: str) -> Callable[[Change], bool]:
    return lambda change: name in change.dialects


SPELLINGS: tuple[Spelling, ...] = (
    Spelling("cascade", "ComfyUI's names for Stable Cascade", _scheme("cascade")),
    Spelling("onetrainer", "OneTrainer's names", _scheme("onetrainer")),
    Spelling("kohya", "kohya's names", _scheme("kohya")),
    Spelling("lycoris", "LyCORIS' names without a trainer", _scheme("lycoris")),
    Spelling("peft-folder", "names of a PEFT folder", _scheme("peft-folder")),
    Spelling("ldm", "original names with dots (ai-toolkit, diffusion-pipe)", _scheme("ldm")),
    Spelling("generic", "the checkpoint's own keys", _scheme("generic")),
    Spelling("hcp", "HCP-Diffusion's names", _dialect("hcp")),
    Spelling("xlabs", "XLabs' names", _dialect("xlabs")),
    Spelling("diffusers-attn-procs", "diffusers' names up to 0.1x", _dialect("attn-procs")),
    Spelling("diffusers", "diffusers' names of 0.2x", _dialect("diffusers")),
    Spelling("peft", "names of diffusers with PEFT", _dialect("peft")),
)
"""spellings, the most particular first; each change has the first that fits"""


def spelling_of(grouped: Grouped, family: str) -> str:
    """The spelling of most modules, with a word on the block names where SDXL has two."""
    counts = Counter(_spelling(change) for change in grouped.changes)
    name = "onetrainer" if counts["onetrainer"] else counts.most_common(1)[0][0]
    if name != "kohya":
        return name
    flats = [change.flat for change in grouped.changes if change.target == "unet"]
    original = any(flat.startswith(SGM) for flat in flats)
    if any(key.startswith("bundle_emb.") for key in grouped.embeddings):
        return "onetrainer"
    if family.startswith("sdxl") and flats:
        return "kohya-sgm" if original else "kohya-diffusers"
    return "kohya-sgm" if original else "kohya"


def _spelling(change: Change) -> str:
    return next((s.name for s in SPELLINGS if s.fits(change)), "generic")
