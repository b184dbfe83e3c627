"""Text from a file, made safe to show: nothing in it moves a cursor, hides or turns around."""

from __future__ import annotations

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

# str.isprintable() denies controls (Cc), formatting (Cf: bidi overrides, zero-width, tags),
# surrogates (Cs), private use (Co), unassigned (Cn) and separators but the plain space (Z*).


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    short = _SHORT.get(character)
    if short is not None:
        return short
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escape(text: str, limit: int = 200) -> str:
    """`text` with every character that is not plainly visible spelled out, at most `limit` long.

    Control characters, terminal escapes, line ends, bidirectional overrides, zero-width characters
    and lone surrogates become `\\x1b`, `\\u202e` and the like; what is longer ends in "…".
    """
    shown = text[: limit + 1]
    if not shown.isprintable():
        shown = "".join(_visible(character) for character in shown)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
