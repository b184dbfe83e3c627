"""CLIP's tokenizer: text to the numbers of its pieces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from sfumato.catalogue.tokenizer.table import BOS as BOS
from sfumato.catalogue.tokenizer.table import COMMA as COMMA
from sfumato.catalogue.tokenizer.table import END_OF_WORD, merges, vocabulary
from sfumato.catalogue.tokenizer.table import EOS as EOS
from sfumato.catalogue.tokenizer.table import PAD as PAD
from sfumato.engine.prompt.cleaning import plain, unescape_twice
from sfumato.errors import MissingExtra

if TYPE_CHECKING:
    import tokenizers

Style = Literal["clip", "openclip"]
"""clip: transformers' slow CLIPTokenizer beside ftfy, which A1111 uses for CLIP-L (SD1, the first
of SDXL) · openclip: that of open_clip, which it uses for the others; HTML entities differ"""

_WORD = r"'[sſ]|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
"""contractions, words, single digits, runs of other signs (CLIP's expression, without case)"""

MARKS: dict[Style, re.Pattern[str]] = {
    "clip": re.compile(r"<\|startoftext\|>|<\|endoftext\|>"),
    # Only where a piece begins: a sign before it takes its first sign along.
    "openclip": re.compile(r"(?<![^\s\w]|_)(?:<start_of_text>|<end_of_text>)+"),
}
"""what stands for the marks of a text, when someone writes it into a prompt"""


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """Cuts text into tokens; case is ignored."""

    style: Style = "clip"

    def encode(self, text: str) -> list[int]:
        """Numbers of the tokens of `text`, without the marks of its start and end.

        Raises MissingExtra without the package tokenizers.
        """
        cleaned = plain(text)
        if self.style == "openclip":
            cleaned = unescape_twice(cleaned)
        cleaned = cleaned.lower()
        pairs, ids, end = _byte_pairs(), list[int](), 0
        for mark in MARKS[self.style].finditer(cleaned):
            ids += pairs.encode(cleaned[end : mark.start()]).ids
            ids += [BOS if "start" in one else EOS for one in re.findall("<[^>]+>", mark[0])]
            end = mark.end()
        return ids + pairs.encode(cleaned[end:]).ids


@cache
def _byte_pairs() -> tokenizers.Tokenizer:
    """The table, made ready: 49408 tokens joined from bytes."""
    try:
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    except ImportError as error:
        raise MissingExtra(
            "prompts are cut into tokens by the package tokenizers, which is not installed: "
            "pip install 'sfumato[generate]'"
        ) from error
    pairs = Tokenizer(models.BPE(vocabulary(), merges(), end_of_word_suffix=END_OF_WORD))
    pairs.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return pairs
