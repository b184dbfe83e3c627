"""A comparison as a picture: one bar per block, as long as the block changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from os import PathLike

from PIL import Image, ImageDraw, ImageFont

from sfumato.containers.atomic import replacing
from sfumato.containers.text import escape
from sfumato.operations.comparing.diff import Difference
from sfumato.operations.comparing.parts import PartDifference
from sfumato.operations.comparing.words import about, percent

Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
INK: Colour = (40, 40, 46)
PALE: Colour = (120, 120, 130)
TRACK: Colour = (238, 238, 242)
BAR: Colour = (74, 111, 165)

WIDTH = 900
MARGIN = 24
LABEL = 200
"""pixels for the names of blocks"""
FIGURE = 110
"""pixels for the figure behind a bar"""
SMALL, LARGE, LINE, GAP = 15, 18, 22, 12
THICK = 13
"""pixels of a bar"""

MOST = 400
"""bars in one picture; a file made to hurt could have any number of blocks"""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the picture: a heading, or a block with its bar."""

    text: str
    share: float | None = None
    """length of the bar, where 1 is the longest; None for a heading"""
    figure: str = ""


def draw_chart(found: Difference) -> Image.Image:
    """An RGB picture, 900 pixels wide, of every part that both models have.

    Bars of all parts are to one scale, that of the block that changed most.
    """
    lines = list(_lines(found))
    height = 2 * MARGIN + LINE * len(lines) + GAP * sum(line.share is None for line in lines)
    picture = Image.new("RGB", (WIDTH, height), PAPER)
    draw = ImageDraw.Draw(picture)
    small, large = ImageFont.load_default(SMALL), ImageFont.load_default(LARGE)
    top = MARGIN
    for number, line in enumerate(lines):
        if line.share is None:
            top += GAP if number else 0
            font, colour = (large, INK) if not number else (small, INK)
            draw.text((MARGIN, top), line.text, fill=colour, font=font)
        else:
            _draw_bar(draw, line, top, small)
        top += LINE
    return picture


def _draw_bar(
    draw: ImageDraw.ImageDraw,
    line: Line,
    top: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    left, right = MARGIN + LABEL, WIDTH - MARGIN - FIGURE
    middle = top + (LINE - THICK) // 2
    draw.text((MARGIN, top), line.text, fill=PALE, font=font)
    draw.rectangle((left, middle, right, middle + THICK), fill=TRACK)
    length = round((right - left) * (line.share or 0.0))
    if length:
        draw.rectangle((left, middle, left + length, middle + THICK), fill=BAR)
    draw.text((right + GAP, top), line.figure, fill=INK, font=font)


def _lines(found: Difference) -> Iterator[Line]:
    first, second = (escape(side.path.name, 40) for side in (found.first, found.second))
    yield Line(f"{first}  and  {second}")
    changed = [part for part in found.parts if part.state == "changed"]
    longest = max((b.distance for part in changed for b in part.blocks), default=0.0)
    room = MOST
    for part in found.parts:
        yield Line(f"{escape(part.title, 50)}: {about(part)}")
        if part.state == "changed":
            yield from _bars(part, longest, room)
            room = max(0, room - len(part.blocks))


def _bars(part: PartDifference, longest: float, room: int) -> Iterator[Line]:
    for block in part.blocks[:room]:
        share = block.distance / longest if longest else 0.0
        yield Line(escape(block.name, 24), share, percent(block.distance))


def save_chart(found: Difference, path: str | PathLike[str], *, force: bool = False) -> None:
    """Write `draw_chart` to a PNG file in one step. Raises what `atomic.replacing` raises."""
    held = BytesIO()
    draw_chart(found).save(held, format="PNG", optimize=True)
    with replacing(path, held.tell(), force=force) as sink:
        sink.write(held.getvalue())
