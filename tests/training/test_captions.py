"""Captions: the same at the same draw, and changed only as the settings say."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from sfumato.errors import UsageError
from sfumato.training.data.captions import draw_caption, filled, read_template, with_word
from sfumato.training.data.items import Item
from sfumato.training.settings import Data

TAGS = "a, b, c, d, e, f"


def item(*captions: str) -> Item:
    return Item("x", "0", (8, 8), captions, lambda: Image.new("RGB", (8, 8)))


def drawn(settings: Data, *captions: str, count: int = 200) -> list[str]:
    return [draw_caption(item(*captions), settings, 0, sample) for sample in range(count)]


def test_without_settings_a_caption_is_what_it_is() -> None:
    assert set(drawn(Data(), "a dog,  on grass ")) == {"a dog,  on grass "}


def test_a_draw_has_the_same_caption_whenever_it_is_asked_for() -> None:
    settings = Data(shuffle_tags=True, tag_dropout=0.3, caption_dropout=0.2)
    assert drawn(settings, TAGS) == drawn(settings, TAGS)
    assert len(set(drawn(settings, TAGS))) > 50


def test_every_caption_of_a_picture_is_drawn() -> None:
    assert set(drawn(Data(), "one", "two", "three")) == {"one", "two", "three"}


def test_captions_are_left_out_as_often_as_is_said() -> None:
    silent = drawn(Data(caption_dropout=0.25), TAGS, count=2000).count("")
    assert abs(silent / 2000 - 0.25) < 0.04
    assert set(drawn(Data(caption_dropout=1.0), TAGS)) == {""}


def test_shuffling_keeps_every_tag_and_the_first_ones_in_place() -> None:
    for text in drawn(Data(shuffle_tags=True, keep_tags=2), TAGS):
        assert text.startswith("a, b, ")
        assert sorted(text.split(", ")) == list("abcdef")


def test_tags_are_dropped_behind_those_that_are_kept() -> None:
    texts = drawn(Data(tag_dropout=0.5, keep_tags=1), TAGS, count=1000)
    assert all(text.startswith("a") for text in texts)
    assert abs(sum(text.count(",") for text in texts) / 1000 - 2.5) < 0.2


def test_the_trigger_word_is_never_dropped() -> None:
    settings = Data(tag_dropout=0.9, shuffle_tags=True, trigger="zwx")
    assert all("zwx" in text for text in drawn(settings, "zwx, a, b, c"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "zwx"),
        ("a dog", "zwx, a dog"),
        ("a ZWX dog", "a ZWX dog"),
        ("zwxy", "zwx, zwxy"),
        ("photo of [trigger] in a park", "photo of zwx in a park"),
    ],
)
def test_a_word_is_put_where_it_is_missing(text: str, expected: str) -> None:
    assert with_word(text, "zwx") == expected


def test_without_a_word_nothing_is_put_anywhere() -> None:
    assert with_word("a dog", "") == "a dog"


def test_a_template_is_filled_with_every_caption() -> None:
    lines = ("a photo of [name], [filewords]", "art of [name]", "[filewords]")
    assert filled(lines, ("red", "blue"), "zwx") == (
        "a photo of zwx, red", "a photo of zwx, blue", "art of zwx", "zwx, red", "zwx, blue",
    )  # fmt: skip
    assert filled(("[name], [filewords]",), ("",), "zwx") == ("zwx",)


def test_a_template_without_lines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("\n \n")
    with pytest.raises(UsageError, match="has no line"):
        read_template(tmp_path / "t.txt")
    with pytest.raises(UsageError, match="cannot be read"):
        read_template(tmp_path / "none.txt")
