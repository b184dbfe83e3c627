"""How each family reads its text encoders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sfumato.engine.model import Family
from sfumato.engine.prompt.tokens import EOS, PAD, Style


@dataclass(frozen=True, slots=True)
class Reading:
    """How a family reads one of its text encoders."""

    style: Style
    """the tokenizer that goes with it"""
    back: int
    """which state is taken, counted from the last: 1, 2 …"""
    normed: bool
    """whether the final LayerNorm is applied to it"""
    pad: int = EOS
    """token that fills a chunk up after its end"""
    skips: Literal["always", "asked", "never"] = "never"
    """whether clip skip says which state is taken; asked: only with `skip_sdxl`"""
    pooled: bool = False
    """whether the pooled state of its first chunk goes into the vector"""


CLIP = Reading("clip", 1, normed=True, skips="always")
SDXLCLIP = Reading("clip", 2, normed=False, skips="asked")
OPENCLIP = Reading("openclip", 2, normed=True, pad=PAD)
SDXLOPENCLIP = Reading("openclip", 2, normed=False, pad=PAD, pooled=True)

READINGS: Mapping[Family, tuple[Reading, ...]] = {
    "sd1": (CLIP,),
    "sd2": (OPENCLIP,),
    "sdxl": (SDXLCLIP, SDXLOPENCLIP),
    "sdxl-refiner": (SDXLOPENCLIP,),
}
