"""Trigger words: from the file's own text and from the texts that other programs put beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sfumato.catalogue.triggers import metadata_words, sidecar_triggers


def words(metadata: dict[str, str]) -> list[str]:
    return [word.word for word in metadata_words(metadata)]


def test_phrases_come_first_and_the_output_name_last() -> None:
    metadata = {
        "ss_output_name": "last",
        "ssmd_keywords": "two, three",
        "modelspec.trigger_phrase": "one",
    }
    assert words(metadata) == ["one", "two", "three", "last"]


def test_a_word_found_twice_keeps_its_best_source() -> None:
    found = metadata_words({"modelspec.trigger_phrase": "cat", "ss_output_name": "cat"})
    assert [(w.word, w.source) for w in found] == [("cat", "modelspec.trigger_phrase")]


def test_tags_of_nearly_every_picture_are_triggers() -> None:
    tags = {"10_cat": {"mycat": 20, "sitting": 7, "outdoors": 3, "fur": 19}}
    images = {"10_cat": {"n_repeats": 10, "img_count": 20}}
    metadata = {"ss_tag_frequency": json.dumps(tags), "ss_dataset_dirs": json.dumps(images)}
    found = metadata_words(metadata)
    assert [w.word for w in found] == ["mycat", "fur"]
    assert found[0].source == "ss_tag_frequency (20 of 20 pictures)"


def test_without_a_picture_count_the_commonest_tag_stands_for_it() -> None:
    assert words({"ss_tag_frequency": '{"a": {"mycat": 20, "fur": 5}}'}) == ["mycat"]


def test_captions_in_sentences_are_split_into_words() -> None:
    captions = {f"a drawing of mycat in the garden number {n}": 1 for n in range(9)}
    captions |= {"another drawing of mycat and nothing else": 1}
    images = {"set": {"img_count": 10}}
    metadata = {
        "ss_tag_frequency": json.dumps({"set": captions}),
        "ss_dataset_dirs": json.dumps(images),
    }
    assert words(metadata) == ["drawing", "mycat", "garden", "number"]


@pytest.mark.parametrize(
    "text",
    ["", "None", "null", "[]", "{", '{"a": 1}', '{"a": {"b": "c"}}', "[" * 100_000, '{"a": {}}'],
)
def test_senseless_tag_lists_give_no_words(text: str) -> None:
    assert words({"ss_tag_frequency": text, "ss_dataset_dirs": text}) == []


def beside(folder: Path, ending: str, value: object) -> Path:
    model = folder / "my.model.safetensors"
    model.write_bytes(b"")
    (folder / f"my.model{ending}").write_text(json.dumps(value), encoding="utf-8")
    return model


@pytest.mark.parametrize(
    ("ending", "value"),
    [
        (".json", {"activation text": "cat, dog "}),
        (".civitai.info", {"trainedWords": ["cat", "dog"]}),
        (".cm-info.json", {"TrainedWords": ["cat", "dog"]}),
        (".metadata.json", {"civitai": {"trainedWords": ["cat", "dog"]}}),
    ],
)
def test_the_sidecars_of_four_programs_are_read(tmp_path: Path, ending: str, value: object) -> None:
    found = sidecar_triggers(beside(tmp_path, ending, value))
    assert [w.word for w in found] == ["cat", "dog"]
    assert found[0].source.endswith(f"in my.model{ending}")


@pytest.mark.parametrize("value", [None, [], {"activation text": 5}, {"activation text": None}])
def test_sidecars_of_another_form_give_no_words(tmp_path: Path, value: object) -> None:
    assert sidecar_triggers(beside(tmp_path, ".json", value)) == ()


def test_a_sidecar_without_a_model_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"activation text": "cat"}')
    assert sidecar_triggers(tmp_path / "config.safetensors") == ()


def test_a_sidecar_that_is_no_json_or_too_long_is_passed_over(tmp_path: Path) -> None:
    model = beside(tmp_path, ".civitai.info", {"trainedWords": ["cat"]})
    (tmp_path / "my.model.json").write_bytes(b"\xff\xfe{not json")
    (tmp_path / "my.model.cm-info.json").write_bytes(b"[" + b" " * (9 << 20))
    assert [w.word for w in sidecar_triggers(model)] == ["cat"]


def test_a_byte_order_mark_before_a_sidecar_is_no_harm(tmp_path: Path) -> None:
    model = beside(tmp_path, ".json", {})
    (tmp_path / "my.model.json").write_bytes(b'\xef\xbb\xbf{"activation text": "cat"}')
    assert [w.word for w in sidecar_triggers(model)] == ["cat"]
