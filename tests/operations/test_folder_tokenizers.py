"""Laws of the tokenizers in a diffusers folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from paintable import write
from sfumato.catalogue.layouts import unet_diffusers_shapes
from sfumato.catalogue.trees.text import CLIP_G, CLIP_L, clip_shapes
from sfumato.catalogue.trees.unet import SDXL
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.dtype import F32
from sfumato.containers.tensor import Tensor
from sfumato.operations.convert import convert
from sfumato.operations.folder_texts import folder_texts


def beside(tmp_path: Path, kind: str) -> Path:
    """A small checkpoint of a kind as a diffusers folder."""
    convert(write(tmp_path / f"{kind}.safetensors", kind), tmp_path / kind)
    return tmp_path / kind


@pytest.mark.parametrize(
    ("kind", "padded"),
    [
        ("sd1", {"tokenizer": "<|endoftext|>"}),
        ("sd2", {"tokenizer": "!"}),
        ("sdxl", {"tokenizer": "<|endoftext|>", "tokenizer_2": "!"}),
    ],
)
def test_each_text_encoder_has_a_tokenizer_that_transformers_loads(
    kind: str, padded: dict[str, str], tmp_path: Path
) -> None:
    from transformers import CLIPTokenizer

    folder = beside(tmp_path, kind)
    index = json.loads((folder / "model_index.json").read_text())
    for part, pad in padded.items():
        assert index[part] == ["transformers", "CLIPTokenizer"]
        loaded = CLIPTokenizer.from_pretrained(folder, subfolder=part, local_files_only=True)
        assert loaded("a fox").input_ids == [49406, 320, 3240, 49407]
        assert loaded.pad_token == pad
    assert {path.name for path in folder.iterdir() if path.name.startswith("token")} == set(padded)


def test_a_folder_with_its_tokenizer_has_nothing_to_warn_of(tmp_path: Path) -> None:
    report = convert(write(tmp_path / "sd1.safetensors"), tmp_path / "sd1")
    assert not [text for text in report.warnings() if "tokenizer" in text]


def test_a_single_file_in_diffusers_spelling_holds_no_tokenizer(tmp_path: Path) -> None:
    source, target = write(tmp_path / "sd1.safetensors"), tmp_path / "out.safetensors"
    report = convert(source, target, spelling="diffusers")
    assert [text for text in report.warnings() if "no tokenizer is written" in text]
    assert target.stat().st_size < source.stat().st_size + 100_000


def texts(*, more: int = 0, metadata: dict[str, str] | None = None) -> dict[str, str]:
    """Files for an SDXL whose first text encoder has further tokens."""
    first = replace(CLIP_L, vocabulary=CLIP_L.vocabulary + more)
    shapes = {
        "unet": unet_diffusers_shapes(SDXL),
        "text_encoder": clip_shapes(first),
        "text_encoder_2": clip_shapes(CLIP_G),
    }
    tensors = {
        f"{part}.{name}": Tensor(F32, shape, bytes)
        for part, found in shapes.items()
        for name, shape in found.items()
    }
    return folder_texts(tensors, Verdict("checkpoint", "sdxl"), metadata or {}, tokenizers=True)


def test_a_text_encoder_with_further_tokens_gets_no_tokenizer() -> None:
    files = texts(more=2)
    assert "tokenizer_2/vocab.json" in files and "tokenizer/vocab.json" not in files
    index = json.loads(files["model_index.json"])
    assert index["tokenizer"] == [None, None]
    assert index["tokenizer_2"] == ["transformers", "CLIPTokenizer"]


def test_an_index_that_came_with_the_model_names_the_tokenizers() -> None:
    own = {"_class_name": "Mine", "tokenizer": ["transformers", "Own"], "tokenizer_2": [None, None]}
    index = json.loads(texts(metadata={"model_index.json": json.dumps(own)})["model_index.json"])
    assert index["tokenizer"] == ["transformers", "Own"]
    assert index["tokenizer_2"] == ["transformers", "CLIPTokenizer"]
