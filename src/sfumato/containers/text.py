"""Text from strangers, made safe to show: nothing in it moves the cursor or hides a letter."""

from __future__ import annotations

import unicodedata

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that are shown as escapes: control, format, surrogate, unassigned, breaks"""


def escape(text: str, limit: int = 200) -> str:
    r"""At most `limit` characters of `text`, on one line, with \x1b and its like made visible."""
    shown = "".join(_visible(letter) for letter in text[:limit])
    return shown + "…" if len(text) > limit else shown


def _visible(letter: str) -> str:
    if unicodedata.category(letter) not in HIDDEN:
        return letter
    code = ord(letter)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
