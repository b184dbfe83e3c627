"""Literals that look like a pickle inside the pickle: nobody runs them, unless something does."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error

SHORTEST, LONGEST = 10, 16 << 20
MOST_SUSPECTS = 64

# PROTO, or what protocol 0 and 1 streams of calls begin with: GLOBAL, or MARK and its first operand
OPENING = re.compile(rb"\x80[\0-\5]|c[A-Za-z_]|\([cSVXiU\x8c]")
TORCH_FILE = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""the magic number of a stacked torch file, which `_load_from_bytes` honestly gets"""

BASE64_OPENINGS = ("gA", "Y2", "Y3", "KF", "KG", "KI")
"""how base64 spells the openings above"""
SHORTEST_BASE64 = 16
BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")

Suspects = list[tuple[int, bytes | str]]


def consider(suspects: Suspects, at: int, data: bytes | bytearray) -> None:
    """Remember bytes that begin as pickles do."""
    if len(suspects) < MOST_SUSPECTS and len(data) >= SHORTEST and OPENING.match(data):
        suspects.append((at, bytes(data)))


def consider_text(suspects: Suspects, at: int, text: str) -> None:
    """Remember text that could be such bytes in base64."""
    if text.startswith(BASE64_OPENINGS) and len(suspects) < MOST_SUSPECTS:
        suspects.append((at, text))


def stream(literal: bytes | str) -> bytes | None:
    """The pickle in a literal that was remembered; None where a closer look finds none."""
    if len(literal) > LONGEST:
        return None
    if isinstance(literal, bytes):
        data = literal
    elif BASE64.fullmatch(literal):
        try:
            data = b64decode(literal)
        except (Error, ValueError):
            return None
    else:
        return None
    found = OPENING.match(data) and not data.startswith(TORCH_FILE)
    return data if found else None
