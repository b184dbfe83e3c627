"""Styles are found again in prompts, and only where they paint the same."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sfumato.engine.asking.texts import hires_texts, texts
from sfumato.engine.pictures.infotext import Record
from sfumato.engine.pictures.styled import recognised, with_styles
from sfumato.engine.prompt.styles import Style, taken_out
from sfumato.engine.request import Hires, Request

STYLES = {
    style.name: style
    for style in (
        Style("ink", "ink drawing, {prompt}, black", "colour"),
        Style("soft", "soft light", "{prompt}, hard"),
        Style("empty", "{prompt}"),
    )
}

words = st.text(alphabet="abc ,", max_size=12)


@given(words, words, words, st.lists(st.sampled_from(("ink", "soft")), unique=True))
def test_a_request_with_its_styles_found_again_paints_the_same(
    prompt: str, negative: str, second: str, names: list[str]
) -> None:
    hires = Hires(prompt=second, negative=second)
    asked = Request(prompt, negative, styles=tuple(names), hires=hires)
    first, larger = texts(asked, STYLES), hires_texts(asked, STYLES)
    told = Request(first.shown, first.negative)
    told = replace(told, hires=replace(hires, prompt=larger.shown, negative=larger.negative))
    found = with_styles(told, STYLES)
    assert (texts(found, STYLES), hires_texts(found, STYLES)) == (first, larger)


def test_the_styles_of_both_passes_are_named_once() -> None:
    told = Request(
        "ink drawing, a fox, black", "colour", hires=Hires(prompt="ink drawing, x, black")
    )
    found = with_styles(told, STYLES)
    assert (found.prompt, found.negative, found.styles) == ("a fox", "", ("ink",))
    assert found.hires == Hires(prompt="x")


def test_a_second_pass_without_the_style_keeps_the_prompts_as_they_are() -> None:
    told = Request("ink drawing, a fox, black", "colour", hires=Hires(prompt="a wolf"))
    assert with_styles(told, STYLES) == told


def test_a_style_that_adds_nothing_is_never_found() -> None:
    record = Record("a fox", "bad")
    assert recognised(record, STYLES) == (record, ())


def test_what_would_not_be_merged_again_alike_stays() -> None:
    assert taken_out("a fox, soft light", ["soft light"]) == "a fox"
    assert taken_out("a fox,soft light", ["soft light"]) is None
