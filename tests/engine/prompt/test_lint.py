"""Every trap is told, and harmless prompts are left in peace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.engine.prompt.lint import lint


@pytest.mark.parametrize(
    ("prompt", "quoted", "said"),
    [
        ("a [fox:1.3]", '"[fox:1.3]"', 'leaves "fox" out of the first pass'),
        ("fox:2", '"fox:2"', "the weight 2"),
        ("(fox BREAK moon:1.2)", '"fox BREAK"', "ends no chunk"),
        ("a (fox", '"(fox"', "not closed"),
        ("a fox]", '"a fox]"', "closes nothing"),
        ("(a:1..2)", '"(a:1..2)"', "not a number"),
        ("(a:1,2)", '"(a:1,2)"', "not a number"),
        ("<lyra:x> a", "<lyra:x>", "no kind of tag"),
        ("<lora:ink:abc>", "<lora:ink:abc>", "not a number"),
        ("a #1 dad", '"#1 dad"', "begins a comment"),
        ("fox:1.2 and moon:0.5", '"and"', "write AND"),
        ("fox, break, moon", '"break"', "write BREAK"),
        ("[red:blue] hat", '"[red:blue]"', "when a number"),
        ("{a|b} [c:d:3]", '"{a|b} [c:d:3]"', "takes effect"),
    ],
)
def test_a_trap_is_told_in_one_sentence(prompt: str, quoted: str, said: str) -> None:
    sentences = [text for text in lint(prompt) if quoted in text and said in text]
    assert len(sentences) == 1
    assert sentences[0].endswith(".")
    assert "\n" not in sentences[0]


@pytest.mark.parametrize(
    ("negative", "said"),
    [
        ("<lora:x:1>", "tags work in the prompt"),
        ("a AND b", "not of the negative one"),
        ("(a", "not closed"),
        ("a # b", "begins a comment"),
    ],
)
def test_traps_of_the_negative_prompt_are_told(negative: str, said: str) -> None:
    assert any(said in text for text in lint("", negative))


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "a lighthouse at dusk, (sea:1.2), [fog], oil on canvas and bread <lora:ink:0.8>",
        "[fox:wolf:0.5] in [a|b|] snow BREAK moon AND stars:0.5",
        "\\(not\\) a \\[bracket:1.3\\]",
        "[:hat:4] [x:0.4] [y::6]",
        "a break in the clouds, rock and roll",
    ],
)
def test_a_prompt_without_traps_is_left_in_peace(prompt: str) -> None:
    assert lint(prompt, prompt if "AND" not in prompt and "<" not in prompt else "") == ()


@given(st.text(alphabet="ab ()[]:\\.12,|<>#\nBREAKND", max_size=40), st.text(max_size=20))
def test_any_prompt_is_judged(prompt: str, negative: str) -> None:
    assert all(text.isprintable() for text in lint(prompt, negative))


def test_comments_may_be_text() -> None:
    assert lint("#1 dad", comments=False) == ()


def test_brackets_may_be_text() -> None:
    assert lint("(a BREAK :1..2", emphasis="None") == ()
