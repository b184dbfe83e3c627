"""Sheets of pictures: everything has its place, and long texts stay in theirs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sfumato.engine.pictures.lettering import LINES, lettering, set_text
from sfumato.engine.pictures.sheet import (
    Cell,
    Failed,
    Sheet,
    contact_sheet,
    draw_sheet,
    draw_sheets,
)
from sfumato.errors import UsageError

RED, BLUE = (200, 10, 10), (10, 10, 200)


def plain(colour: tuple[int, int, int], width: int = 64, height: int = 48) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def count(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(sheet) == colour).all(-1).sum())


def test_every_picture_is_whole_on_the_sheet() -> None:
    cells: list[list[Cell]] = [[plain(RED), plain(BLUE)], [plain(BLUE), plain(BLUE, 32, 32)]]
    sheet = draw_sheet(Sheet(cells, ["a", "b"], ["c", "d"], "title"))
    assert count(sheet, RED) == 64 * 48
    assert count(sheet, BLUE) == 2 * 64 * 48 + 32 * 32


def test_a_sheet_without_labels_is_pictures_and_even_margins() -> None:
    sheet = draw_sheet(Sheet([[plain(RED), plain(RED)]]), gap=5)
    rows, columns = np.nonzero((np.asarray(sheet) == RED).all(-1))
    assert columns.max() - columns.min() + 1 == 2 * 64 + 5
    above, below = rows.min(), sheet.height - 1 - rows.max()
    left, right = columns.min(), sheet.width - 1 - columns.max()
    assert above == below == left == right > 0


def test_a_failed_cell_says_why_in_grey() -> None:
    with_cell = draw_sheet(Sheet([[plain(RED), Failed("VAE of another width")]]))
    without = draw_sheet(Sheet([[plain(RED), None]]))
    assert with_cell.size == without.size
    assert count(with_cell, RED) == count(without, RED)
    assert np.asarray(with_cell).tolist() != np.asarray(without).tolist()


def test_labels_take_room_only_where_there_are_some() -> None:
    bare = draw_sheet(Sheet([[plain(RED)]]))
    above = draw_sheet(Sheet([[plain(RED)]], columns=["a"]))
    beside = draw_sheet(Sheet([[plain(RED)]], rows=["a"]))
    assert above.width == bare.width and above.height > bare.height
    assert beside.width > bare.width and beside.height == bare.height


def test_tables_stand_below_each_other() -> None:
    one = Sheet([[plain(RED)]], title="first")
    both = draw_sheets([one, Sheet([[plain(BLUE)]], title="second")])
    rows = np.nonzero((np.asarray(both) == RED).all(-1))[0]
    assert rows.max() < np.nonzero((np.asarray(both) == BLUE).all(-1))[0].min()


def test_transparent_pictures_lie_on_white() -> None:
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert (np.asarray(draw_sheet(Sheet([[clear]]))) == 255).all()


def test_a_contact_sheet_breaks_into_rows() -> None:
    pictures = [plain(RED)] * 5
    one, three = contact_sheet(pictures), contact_sheet(pictures, ["a"] * 5, columns=2)
    assert count(one, RED) == count(three, RED) == 5 * 64 * 48
    assert one.width > one.height and three.height > three.width


@pytest.mark.parametrize("sheets", [[], [Sheet([])], [Sheet([[None]], ["a"], ["b"], "c")]])
def test_sheets_without_pictures_are_drawn_too(sheets: list[Sheet]) -> None:
    assert draw_sheets(sheets).size >= (1, 1)


def test_a_sheet_of_more_than_200_megapixels_is_refused() -> None:
    large = Image.new("1", (15_000, 15_000))
    with pytest.raises(UsageError, match="200 megapixels"):
        draw_sheet(Sheet([[large]]))


@given(st.text(max_size=80), st.integers(1, 200))
@settings(deadline=None)
def test_lines_fit_their_width_or_are_single_characters(text: str, width: int) -> None:
    letters = lettering(12)
    block = set_text(text, letters, width)
    assert len(block.lines) <= LINES
    assert all(letters.length(line) <= width or len(line) <= 2 for line in block.lines)


def test_no_word_is_lost_where_there_is_room() -> None:
    text = "a lighthouse at dusk, in watercolour"
    assert " ".join(set_text(text, lettering(12), 120).lines) == text
    assert set_text("x " * 500, lettering(12), 60).lines[-1].endswith("…")


def test_long_names_break_after_their_marks() -> None:
    lines = set_text("dreamshaper_8_pruned_fp16.safetensors", lettering(12), 110).lines
    assert lines[0].endswith("_") and "".join(lines) == "dreamshaper_8_pruned_fp16.safetensors"
