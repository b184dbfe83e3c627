"""The tokenizers of a diffusers folder: one for each CLIP text encoder in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sfumato.catalogue.component import Match
from sfumato.catalogue.tokenizer.files import OPENCLIP_PAD, tokenizer_files
from sfumato.catalogue.tokenizer.table import END
from sfumato.catalogue.trees.text import TOKENS, Text

TOKENIZERS: Mapping[str, str] = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2"}
"""text encoder → the tokenizer beside it"""


def paddings(matches: Iterable[Match], family: str) -> dict[str, str]:
    """Tokenizer → what it pads with, for the text encoders that have CLIP's vocabulary."""
    found: dict[str, str] = {}
    for match in matches:
        part = match.prefix.removesuffix(".")
        if part in TOKENIZERS and isinstance(match.sizes, Text):
            openclip = part == "text_encoder_2" or family == "sd2"
            if match.sizes.vocabulary == TOKENS:
                found[TOKENIZERS[part]] = OPENCLIP_PAD if openclip else END
    return found


def tokenizer_texts(paddings: Mapping[str, str]) -> dict[str, str]:
    """Path in the folder → text, for tokenizers with their paddings."""
    return {
        f"{part}/{name}": data.decode()
        for part, pad in paddings.items()
        for name, data in tokenizer_files(pad=pad).items()
    }
