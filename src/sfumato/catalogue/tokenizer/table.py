"""The pairs that CLIP's words are built from, in the order they are joined, and their numbers."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

MERGES = Path(__file__).parent / "merges.txt.gz"
"""one pair a line, derived from OpenAI's CLIP (MIT, see NOTICE) by scripts/make_tokenizer.py"""

END_OF_WORD = "</w>"
START = "<|startoftext|>"
END = "<|endoftext|>"

BOS = 49406
"""number of the token before a text"""
EOS = 49407
"""number of the token after a text, and of SD1's padding"""
COMMA = 267
"""number of the comma"""
PAD = 0
"""number of the padding of OpenCLIP's text encoders, an exclamation mark elsewhere"""


@cache
def merges_text() -> str:
    """The pairs, one a line."""
    return gzip.decompress(MERGES.read_bytes()).decode("utf-8")


def merges() -> list[tuple[str, str]]:
    """The pairs, those that are joined first at the front."""
    flat = merges_text().split()
    return list(zip(flat[::2], flat[1::2], strict=True))


def vocabulary() -> dict[str, int]:
    """Token → number: bytes, bytes that end a word, joined pairs, and the two marks of a text."""
    letters = alphabet()
    joined = merges_text().replace(" ", "").split()
    tokens = [*letters, *(letter + END_OF_WORD for letter in letters), *joined, START, END]
    return dict(zip(tokens, range(len(tokens)), strict=True))


def alphabet() -> tuple[str, ...]:
    """A visible letter for each byte, in the order of their numbers as tokens.

    Bytes that are visible in Latin-1 stand for themselves and come first; the others have the
    letters from U+0100 on (GPT-2's byte-level alphabet).
    """
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = range(0x100, 0x100 + 256 - len(visible))
    return tuple(map(chr, [*visible, *others]))
