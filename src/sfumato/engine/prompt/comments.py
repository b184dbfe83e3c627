"""Comments in prompts: from `#` to the end of the line."""

from __future__ import annotations

import re

_WHOLE_LINE = re.compile(r"(?:^|\n)#[^\n]*(?:\n|$)")
_REST = re.compile(r"#[^\n]*(?:\n|$)")


def cut_comments(text: str) -> str:
    """`text` without its comments; each leaves one line end behind. There is no escape for `#`."""
    return _REST.sub("\n", _WHOLE_LINE.sub("\n", text))
