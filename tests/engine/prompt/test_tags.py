"""Laws of tags, comments and parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.engine.prompt.comments import cut_comments
from sfumato.engine.prompt.conjunction import split_and
from sfumato.engine.prompt.tags import Calls, HypernetworkCall, LoraCall, calls, extract


def called(text: str) -> Calls:
    return calls(extract(text)[1])


@pytest.mark.parametrize(
    ("tag", "call"),
    [
        ("<lora:ink>", LoraCall("ink")),
        ("<lora:ink:0.8>", LoraCall("ink", 0.8, 0.8)),
        ("<lora:ink:0.8:0.5>", LoraCall("ink", 0.8, 0.5)),
        ("<lora:ink:1:1:4>", LoraCall("ink", 1, 1, 4)),
        ("<lora:ink:unet=0.2>", LoraCall("ink", 1.0, 0.2)),
        ("<lora:ink:te=0.2>", LoraCall("ink", 0.2, 0.2)),
        ("<lora:ink:0.3:te=0:dyn=8>", LoraCall("ink", 0.0, 0.0, 8)),
        ("<lyco:ink:-1>", LoraCall("ink", -1, -1)),
        ("<lora:sub/ink v2:.5>", LoraCall("sub/ink v2", 0.5, 0.5)),
    ],
)
def test_loras_are_called_with_their_strengths(tag: str, call: LoraCall) -> None:
    assert called(f"a {tag} b") == Calls((call,))


def test_hypernetworks_are_called_with_a_multiplier() -> None:
    expected = (HypernetworkCall("x"), HypernetworkCall("y", 0.5))
    assert called("<hypernet:x><hypernet:y:0.5>").hypernetworks == expected


def test_a_lora_named_twice_counts_twice() -> None:
    assert [call.te for call in called("<lora:a:1> <lora:a:2>").loras] == [1, 2]


@pytest.mark.parametrize("tag", ["<lora:a:x>", "<lora:a:nan>", "<lora:a:1:1:0>", "<lora: :1>"])
def test_tags_that_cannot_be_read_are_dropped_with_a_sentence(tag: str) -> None:
    made = called(tag)
    assert not made.loras
    assert len(made.notes) == 1
    assert tag in made.notes[0]


def test_a_tag_of_an_unknown_kind_is_taken_out_and_said() -> None:
    assert extract("a <foo:bar> b")[0] == "a  b"
    assert called("<Lora:x>").notes == (
        "<Lora:x> is dropped: Lora is no kind of tag; lora is one.",
    )


@given(st.text(alphabet="ab<>:lora=1. ", max_size=30))
def test_no_tag_is_left_in_a_text_without_nested_ones(text: str) -> None:
    left, tags = extract(text)
    assert len(left) + sum(len(tag.text) for tag in tags) == len(text)
    assert all(tag.text in text for tag in tags)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a # b\nc", "a \nc"),
        ("# a\nb", "\nb"),
        ("a\n# b\nc", "a\nc"),
        ("a # b", "a \n"),
        ("a\n#b\n#c\nd", "a\n\nd"),
        ("a", "a"),
    ],
)
def test_comments_leave_one_line_end(text: str, expected: str) -> None:
    assert cut_comments(text) == expected


@given(st.text(alphabet="ab#\n", max_size=30))
def test_no_comment_is_left(text: str) -> None:
    assert "#" not in cut_comments(text)


@given(st.text(alphabet="a :1.-+AND\n", max_size=30))
def test_every_part_has_a_weight(text: str) -> None:
    assert len(split_and(text)) >= 1
    assert all(isinstance(part.weight, float) for part in split_and(text))
