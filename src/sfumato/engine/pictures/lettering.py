"""Text set in lines for a sheet: measured before it is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from PIL import ImageFont

from sfumato.containers.text import escape

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

LONGEST = 600
"""characters of a text that are looked at"""

LINES = 6
"""of a text; what is longer ends in "…" """

MARKS = "_-./:,"
"""after which a word may be broken"""


@dataclass(frozen=True, slots=True)
class Lettering:
    """A font at one size."""

    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    size: int
    """pixels"""

    @property
    def leading(self) -> int:
        """Pixels from one line to the next."""
        return round(self.size * 1.32)

    def length(self, text: str) -> float:
        """Pixels that a text is wide."""
        return self.font.getlength(text)


def lettering(size: int) -> Lettering:
    """The font that comes with Pillow, at a size in pixels."""
    return Lettering(ImageFont.load_default(size), size)


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of text, and the room that they take in pixels."""

    lines: tuple[str, ...]
    letters: Lettering
    width: int
    height: int

    def draw(
        self,
        draw: ImageDraw,
        place: tuple[int, int],
        colour: tuple[int, int, int],
        *,
        align: Literal["left", "center", "right"] = "left",
    ) -> None:
        """Draw the lines with their upper left corner at `place`."""
        share = {"left": 0.0, "center": 0.5, "right": 1.0}[align]
        for number, line in enumerate(self.lines):
            left = place[0] + share * (self.width - self.letters.length(line))
            top = (
                place[1]
                + number * self.letters.leading
                + (self.letters.leading - self.letters.size) / 2
            )
            draw.text((round(left), round(top)), line, fill=colour, font=self.letters.font)


def set_text(text: str, letters: Lettering, width: int) -> Block:
    """A text in lines of at most `width` pixels, broken between words where that can be."""
    lines = [line for part in text[:LONGEST].split("\n") for line in _wrapped(part, letters, width)]
    lines = [line for line in lines if line]
    if len(lines) > LINES or len(text) > LONGEST:
        lines = lines[:LINES]
        lines[-1] = _shortened(lines[-1] + " …", letters, width)
    longest = max((letters.length(line) for line in lines), default=0)
    return Block(
        tuple(lines), letters, min(width, -int(-longest // 1)), len(lines) * letters.leading
    )


def _wrapped(text: str, letters: Lettering, width: int) -> Iterator[str]:
    line = ""
    for word in escape(text, LONGEST).split():
        longer = f"{line} {word}" if line else word
        if letters.length(longer) <= width:
            line = longer
            continue
        if line:
            yield line
        *whole, line = _pieces(word, letters, width)
        yield from whole
    yield line


def _pieces(word: str, letters: Lettering, width: int) -> Iterator[str]:
    """A word in pieces that fit, ended by a mark where one is near; of one character or more."""
    piece = ""
    for character in word:
        if piece and letters.length(piece + character) > width:
            end = 1 + max(piece.rfind(mark) for mark in MARKS)
            end = end if 2 * end > len(piece) else len(piece)
            yield piece[:end]
            piece = piece[end:]
        piece += character
    yield piece


def _shortened(line: str, letters: Lettering, width: int) -> str:
    """A line that ends in "…" and fits."""
    while len(line) > 1 and letters.length(line) > width:
        line = line[:-2].rstrip() + "…"
    return line
