"""Text from files is shown so that it can do nothing."""

from __future__ import annotations

import pytest

from sfumato.containers.text import escape


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – ünïcode 漢字 🎨", "plain – ünïcode 漢字 🎨"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\r\tc\0", "a\\nb\\r\\tc\\x00"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\u200b\u2028\ufeff", "\\u200b\\u2028\\ufeff"),
        ("\x9b\x85", "\\x9b\\x85"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_is_not_plainly_visible_is_spelled_out(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_long_text_is_shortened_however_long_it_is() -> None:
    assert escape("x" * 201) == "x" * 199 + "…"
    assert len(escape("\0" * 10_000_000)) == 200
    assert escape("x" * 200) == "x" * 200
