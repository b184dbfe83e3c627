"""Metadata is changed, and nothing behind it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from sfumato.containers.dtype import F16
from sfumato.containers.hashes import hash_file
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.errors import OutputExists, Refused, UsageError
from sfumato.operations.metadata import TRIGGER, metadata
from sfumato.operations.recipe import KEY, parse
from toys import contents, random_tensors, safetensors_bytes, write


def odd_order(path: Path) -> Path:
    """A file whose tensors lie in another order than the reference writer's."""
    header = {
        "__metadata__": {"format": "pt", "title": "old", "secret": "/home/me"},
        "z": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
        "a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
    }
    return write(path, safetensors_bytes(header, b"abcdefgh"))


def text_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="np") as file:
        return file.metadata()


def test_the_numbers_stay_byte_for_byte_whatever_their_order(tmp_path: Path) -> None:
    source = odd_order(tmp_path / "a.safetensors")
    metadata(source, tmp_path / "b.safetensors", put={"title": "a much longer title" * 50})
    assert hash_file(tmp_path / "b.safetensors").payload == hash_file(source).payload
    with open_model(source) as a, open_model(tmp_path / "b.safetensors") as b:
        assert contents(a) == contents(b)


def test_set_remove_and_trigger_change_what_they_name_and_nothing_else(tmp_path: Path) -> None:
    source = odd_order(tmp_path / "a.safetensors")
    metadata(
        source, tmp_path / "b.safetensors", put={"title": "new"}, remove=["secret"], trigger="inky"
    )
    found = text_of(tmp_path / "b.safetensors")
    assert found.pop(KEY)
    assert found == {"format": "pt", "title": "new", TRIGGER: "inky"}


def test_a_file_may_be_its_own_output_and_is_replaced_in_one_step(tmp_path: Path) -> None:
    source = odd_order(tmp_path / "a.safetensors")
    before = hash_file(source)
    with pytest.raises(OutputExists):
        metadata(source, source, trigger="inky")
    assert hash_file(source) == before
    metadata(source, source, trigger="inky", force=True)
    assert text_of(source)[TRIGGER] == "inky" and hash_file(source).payload == before.payload


def test_the_recipe_holds_the_hash_of_the_file_before(tmp_path: Path) -> None:
    source = odd_order(tmp_path / "a.safetensors")
    metadata(source, tmp_path / "b.safetensors", trigger="inky")
    recipe = parse(text_of(tmp_path / "b.safetensors")[KEY])
    assert recipe.operation == "metadata"
    assert recipe.inputs[0].blake3 == hash_file(source).blake3


def test_a_key_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    source = odd_order(tmp_path / "a.safetensors")
    with pytest.raises(UsageError, match="nearest: title"):
        metadata(source, tmp_path / "b.safetensors", remove=["tilte"])
    with pytest.raises(UsageError, match="no change"):
        metadata(source, tmp_path / "b.safetensors")


def test_only_safetensors_has_a_header_to_change(tmp_path: Path) -> None:
    save(tmp_path / "a.ckpt", random_tensors({"w": (2,)}, F16))
    with pytest.raises(Refused, match="sfumato convert"):
        metadata(tmp_path / "a.ckpt", tmp_path / "b.safetensors", trigger="inky")


def test_text_of_any_script_survives(tmp_path: Path) -> None:
    source = odd_order(tmp_path / "a.safetensors")
    words = "墨絵, naïve “quotes”, \\ and \n lines"
    metadata(source, tmp_path / "b.safetensors", trigger=words)
    assert text_of(tmp_path / "b.safetensors")[TRIGGER] == words
    raw = (tmp_path / "b.safetensors").read_bytes()
    assert raw[8:10] == b'{"' and json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
