"""A1111's text: what is written is what is read, and what others wrote is understood."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.engine.pictures.infotext import NEGATIVE, Record, pairs, read_text, write_text
from sfumato.engine.pictures.plots import AxisUsed, axes_fields

lines = st.text(max_size=20).map(lambda text: text.replace("\n", " ").strip())
prompts = st.lists(lines.filter(lambda line: not line.startswith(NEGATIVE)), max_size=4).map(
    lambda parts: "\n".join(parts).strip("\n")
)
keys = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_ /-]{0,10}[A-Za-z0-9]", fullmatch=True)
fields = st.dictionaries(keys | st.just("Hashes"), st.text(max_size=12), min_size=3, max_size=6)


@given(prompts, prompts, fields)
def test_reading_what_was_written_gives_the_record_back(
    prompt: str, negative: str, values: dict[str, str]
) -> None:
    record = Record(prompt, negative, values)
    assert read_text(write_text(record)) == record


@given(st.text(alphabet='aZ1 ,:"\\{}[]\n/-_', max_size=60))
def test_reading_never_fails_and_settles_after_one_round(text: str) -> None:
    record = read_text(text)
    if len(record.fields) >= 3:
        again = read_text(write_text(record))
        assert again.fields == record.fields


GRAMMAR = re.compile(r'([^\W][\w /-]+):\s*(?:"((?:[^"\\]|\\.)*)"(?=,|$)|([^,]*))(?:,|$)')
"""a key and its value, as the grammar is told in one expression"""


@given(st.text(alphabet='aZ1_ ,:"\\/-é(', max_size=40))
def test_pairs_are_those_of_the_grammar(line: str) -> None:
    line = line.strip()
    expected = [match[1].rstrip() for match in GRAMMAR.finditer(line)]
    assert [key for key, _ in pairs(line)] == [key for key in expected if len(key) > 1]


def test_a_key_of_one_letter_and_a_blank_takes_its_value_along() -> None:
    assert list(pairs("1 :11:")) == []


WHOLE = """a fox, (red:1.2)
in snow <lora:ink:0.8>
Negative prompt: blurry,
bad
Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 42, Size: 512x768, \
Lora hashes: "ink: abc123", Version: v1.6.0"""


def test_prompts_have_line_ends_and_settings_are_the_last_line() -> None:
    record = read_text(WHOLE)
    assert record.prompt == "a fox, (red:1.2)\nin snow <lora:ink:0.8>"
    assert record.negative == "blurry,\nbad"
    assert record.fields["Size"] == "512x768" and record.fields["Lora hashes"] == "ink: abc123"
    assert write_text(record) == WHOLE


def test_fewer_than_three_pairs_are_a_line_of_the_prompt() -> None:
    assert read_text("a fox\nColour: red, Size: small") == Record("a fox\nColour: red, Size: small")


def test_lines_that_extensions_write_behind_the_settings_do_not_hide_them() -> None:
    record = read_text(WHOLE + "\nTemplate: a {fox|wolf}")
    assert (record.fields["Steps"], record.prompt) == ("20", read_text(WHOLE).prompt)


def test_hashes_of_civitai_are_json_without_quotes() -> None:
    hashes = json.dumps({"model": "a1", "lora:ink": "b2, c3"})
    fields = {"Steps": "20", "Sampler": "Euler", "Seed": "1", "Hashes": hashes}
    text = write_text(Record("a", "", fields))
    assert text.endswith(f", Hashes: {hashes}")
    assert read_text(text).fields == fields


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Steps: 20,Sampler:Euler", [("Steps", "20"), ("Sampler", "Euler")]),
        ('Key: "a, \\"b\\"", x: 1', [("Key", 'a, "b"')]),
        ('Key: "a" b, No: 1', [("Key", '"a" b'), ("No", "1")]),
        ('Key: "open, No: 1', [("Key", '"open'), ("No", "1")]),
        ("(red:1.2), Hires prompt: x", [("Hires prompt", "x")]),
        ("Fixed X Values: , Y/Z: -1", [("Fixed X Values", ""), ("Y/Z", "-1")]),
        ('Parts: [1, {"a": 2}], No: 1', [("Parts", '[1, {"a": 2}]'), ("No", "1")]),
        ("Parts: [1, {, No: 1", [("Parts", "[1"), ("No", "1")]),
    ],
)
def test_pairs_follow_the_grammar(line: str, expected: list[tuple[str, str]]) -> None:
    found = [pair for pair in pairs(line) if pair[0] != "red"]
    assert found == expected


def test_a_key_that_the_grammar_has_no_place_for_is_refused() -> None:
    with pytest.raises(ValueError, match="is no key"):
        write_text(Record("", "", {"a:b": "1"}))


@pytest.mark.parametrize("piece", ["a", "a:", 'ab: "', "ab: [", 'ab: ["', "ab: {", "\n", "Steps: "])
def test_long_nonsense_takes_no_longer_than_it_is_long(piece: str) -> None:
    read_text(piece * (1_000_000 // len(piece)))


def test_a_grid_tells_its_axes() -> None:
    axes = (AxisUsed("CFG Scale", "4-10 (+3)"), AxisUsed("Seed", "-1, -1", "5, 6"))
    assert axes_fields(axes) == {
        "Script": "X/Y/Z plot",
        "X Type": "CFG Scale",
        "X Values": "4-10 (+3)",
        "Y Type": "Seed",
        "Y Values": "-1, -1",
        "Fixed Y Values": "5, 6",
    }
