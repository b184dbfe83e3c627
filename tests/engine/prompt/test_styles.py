"""Laws of styles."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.engine.prompt.styles import Style, apply_styles, read_styles, recognise
from sfumato.errors import Damaged, Unreadable

INK = Style("ink", "ink drawing, {prompt}, black", "colour")
SOFT = Style("soft", "soft light", "")


def test_a_style_takes_the_prompt_in_or_is_appended() -> None:
    assert apply_styles("a fox", [INK.prompt, SOFT.prompt]) == (
        "ink drawing, a fox, black, soft light"
    )


def test_nothing_is_joined_to_nothing() -> None:
    assert apply_styles("", [SOFT.prompt, ""]) == "soft light"


texts = st.text(alphabet="abc ,", min_size=1, max_size=12).map(str.strip)


@given(texts, texts)
def test_styles_are_recognised_back(prompt: str, negative: str) -> None:
    styles = (INK, SOFT)
    merged = apply_styles(prompt, [s.prompt for s in styles])
    against = apply_styles(negative, [s.negative for s in styles])
    found = recognise(merged, against, [SOFT, INK])
    assert found[2] == ("ink", "soft")
    assert found[0] == prompt


def test_a_style_that_is_found_in_half_is_left() -> None:
    assert recognise("ink drawing, x, black", "", [INK]) == ("ink drawing, x, black", "", ())


def test_files_of_every_age_are_read(tmp_path: Path) -> None:
    new, old = tmp_path / "styles.csv", tmp_path / "styles_old.csv"
    new.write_bytes('\ufeffname,prompt,negative_prompt\nink,"a, {prompt}",b\n#no,x,y\n'.encode())
    old.write_text("name,text\nsoft,light\nink,replaced\n")
    found = read_styles([tmp_path / "styles*.csv"])
    assert found == {"ink": Style("ink", "replaced"), "soft": Style("soft", "light")}
    assert read_styles([new]) == {"ink": Style("ink", "a, {prompt}", "b")}


def test_line_ends_within_a_style_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "styles.csv"
    file.write_bytes(b'name,prompt,negative_prompt\r\nink,"a\nb",\r\nshort,x\r\n')
    assert read_styles([file]) == {"ink": Style("ink", "a\nb"), "short": Style("short", "x")}


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"prompt\nx\n"])
def test_a_file_that_is_no_styles_file_is_damaged(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "styles.csv"
    file.write_bytes(data)
    with pytest.raises(Damaged):
        read_styles([file])


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="cannot be opened"):
        read_styles([tmp_path / "none.csv"])
