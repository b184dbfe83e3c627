"""Pictures side by side on one sheet, with what they differ in beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image as Images
from PIL import ImageDraw
from PIL.Image import Image

from sfumato.engine.pictures.lettering import Block, Lettering, lettering, set_text
from sfumato.errors import UsageError

PAPER, INK, SHADE = (255, 255, 255), (38, 38, 42), (120, 120, 128)
FAINT, LINE = (245, 245, 247), (224, 224, 229)

PIXELS = 200_000_000
"""of the largest sheet; A1111's bound too"""

EMPTY = (256, 256)
"""size of the cells of a sheet without a picture"""


@dataclass(frozen=True, slots=True)
class Failed:
    """A cell whose picture could not be painted."""

    sentence: str


Cell = Image | Failed | None
"""None stays white"""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of pictures."""

    cells: Sequence[Sequence[Cell]]
    """by row; rows may differ in length"""
    columns: Sequence[str] = ()
    """a label above each column, or none at all"""
    rows: Sequence[str] = ()
    """a label beside each row, or none at all"""
    title: str = ""
    """the value of a third axis, above the table"""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are, in pixels; the same for all tables of a sheet."""

    cell: tuple[int, int]
    gap: int
    """between pictures"""
    edge: int
    """around the whole, and between tables"""
    left: int
    """width of the row labels, with the space behind them; 0 for none"""
    letters: Lettering
    titles: Lettering


def draw_sheet(sheet: Sheet, *, gap: int | None = None) -> Image:
    """One table as an RGB picture; raises UsageError where it would exceed 200 megapixels."""
    return draw_sheets((sheet,), gap=gap)


def contact_sheet(
    pictures: Sequence[Cell], captions: Sequence[str] = (), *, columns: int = 0
) -> Image:
    """Pictures in rows of `columns` (0 for one row), each under its caption."""
    step = columns or max(1, len(pictures))
    starts = range(0, len(pictures), step)
    return draw_sheets([Sheet([pictures[i : i + step]], captions[i : i + step]) for i in starts])


def draw_sheets(sheets: Sequence[Sheet], *, gap: int | None = None) -> Image:
    """Tables one below the other, each under its title, as one RGB picture.

    All cells have the size of the largest picture; smaller ones are centred, none is scaled. `gap`
    is the space between them in pixels (a thirty-second of a cell where it is not given). Raises
    UsageError where the sheet would exceed 200 megapixels.
    """
    layout = _layout(sheets, gap)
    across = max((len(row) for sheet in sheets for row in sheet.cells), default=0)
    width = 2 * layout.edge + layout.left + across * (layout.cell[0] + layout.gap) - layout.gap
    heights = [_height(sheet, layout) for sheet in sheets]
    height = sum(heights) + layout.edge * (len(sheets) + 1)
    if width * height > PIXELS:
        raise UsageError(
            f"a sheet of {width} × {height} pixels is more than {PIXELS // 10**6} megapixels: "
            "leave values out, or paint smaller pictures"
        )
    canvas = Images.new("RGB", (max(1, width), max(1, height)), PAPER)
    top = layout.edge
    for sheet, tall in zip(sheets, heights, strict=True):
        _draw(canvas, sheet, layout, top)
        top += tall + layout.edge
    return canvas


def _layout(sheets: Sequence[Sheet], gap: int | None) -> Layout:
    pictures = [c for s in sheets for row in s.cells for c in row if isinstance(c, Image)]
    cell = (
        max((picture.width for picture in pictures), default=EMPTY[0]),
        max((picture.height for picture in pictures), default=EMPTY[1]),
    )
    side = (cell[0] + cell[1]) // 2
    space = max(2, side // 32) if gap is None else max(0, gap)
    letters = lettering(min(40, max(11, round(side / 22))))
    titles = lettering(min(56, max(13, round(side / 17))))
    blocks = [_row_label(text, letters, cell) for sheet in sheets for text in sheet.rows]
    left = max((block.width for block in blocks), default=0)
    edge = max(8, side // 16)
    return Layout(cell, space, edge, left + letters.size if left else 0, letters, titles)


def _row_label(text: str, letters: Lettering, cell: tuple[int, int]) -> Block:
    """As wide as two fifths of a cell, or ten letters."""
    return set_text(text, letters, max(cell[0] * 2 // 5, 6 * letters.size))


def _title(sheet: Sheet, layout: Layout) -> Block:
    across = max((len(row) for row in sheet.cells), default=1)
    width = layout.left + across * (layout.cell[0] + layout.gap) - layout.gap
    return set_text(sheet.title, layout.titles, max(1, width))


def _column_labels(sheet: Sheet, layout: Layout) -> list[Block]:
    return [set_text(text, layout.letters, layout.cell[0]) for text in sheet.columns]


def _height(sheet: Sheet, layout: Layout) -> int:
    return _head(sheet, layout) + len(sheet.cells) * (layout.cell[1] + layout.gap) - layout.gap


def _head(sheet: Sheet, layout: Layout) -> int:
    """Height of title and column labels, with the space below each."""
    labels = max((block.height for block in _column_labels(sheet, layout)), default=0)
    title = _title(sheet, layout).height
    space = layout.letters.size * 2 // 3
    return (labels + space if labels else 0) + (title + space if title else 0)


def _draw(canvas: Image, sheet: Sheet, layout: Layout, top: int) -> None:
    draw = ImageDraw.Draw(canvas)
    wide, tall = layout.cell
    start = layout.edge + layout.left
    first = top + _head(sheet, layout)
    _title(sheet, layout).draw(draw, (layout.edge, top), INK)
    for column, block in enumerate(_column_labels(sheet, layout)):
        middle = start + column * (wide + layout.gap) + (wide - block.width) // 2
        below = first - layout.letters.size * 2 // 3
        block.draw(draw, (middle, below - block.height), INK, align="center")
    for number, text in enumerate(sheet.rows):
        block = _row_label(text, layout.letters, layout.cell)
        high = first + number * (tall + layout.gap) + (tall - block.height) // 2
        block.draw(draw, (start - layout.letters.size - block.width, high), INK, align="right")
    for number, row in enumerate(sheet.cells):
        for column, cell in enumerate(row):
            place = (start + column * (wide + layout.gap), first + number * (tall + layout.gap))
            _draw_cell(canvas, cell, place, layout)


def _draw_cell(canvas: Image, cell: Cell, place: tuple[int, int], layout: Layout) -> None:
    wide, tall = layout.cell
    left, top = place
    if isinstance(cell, Failed):
        draw = ImageDraw.Draw(canvas)
        draw.rectangle((left, top, left + wide - 1, top + tall - 1), fill=FAINT, outline=LINE)
        block = set_text(cell.sentence, layout.letters, wide * 4 // 5)
        middle = (left + (wide - block.width) // 2, top + (tall - block.height) // 2)
        block.draw(draw, middle, SHADE, align="center")
    elif cell is not None:
        inside = (left + (wide - cell.width) // 2, top + (tall - cell.height) // 2)
        opaque = cell.convert("RGBA")
        canvas.paste(opaque, inside, opaque)
