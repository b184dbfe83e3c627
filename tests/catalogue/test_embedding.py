"""What is said of embeddings: layout, vectors, widths, family and the word that calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from adapter_files import header, kohya, model, unread

from sfumato.catalogue.adapters import recognise
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.model_file import PICTURE, TORCH_ZIP, Leaf, ModelFile

Shapes = dict[str, tuple[int, ...]]

BASES: dict[str, Leaf] = {
    "string_to_token.*": 265,
    "name": "cat",
    "step": 500,
    "sd_checkpoint": "7460a6fa",
    "sd_checkpoint_name": "sd-v1-4",
}


def said(shapes: Shapes, extras: dict[str, Leaf] | None = None, stem: str = "file") -> Verdict:
    verdict = recognise(model(shapes), {}, extras or {}, stem)
    assert verdict is not None and verdict.kind == "embedding"
    return verdict


LAYOUTS: dict[str, tuple[Shapes, str, int, tuple[int, ...]]] = {
    "A1111": ({"string_to_param.*": (8, 768)}, "sd1", 8, (768,)),
    "ParameterDict": ({"string_to_param._parameters.*": (2, 768)}, "sd1", 2, (768,)),
    "SD2": ({"string_to_param.*": (3, 1024)}, "sd2", 3, (1024,)),
    "kohya": ({"emb_params": (4, 768)}, "sd1", 4, (768,)),
    "OneTrainer": ({"emp_params": (4, 768), "emp_params_out": (4, 768)}, "sd1", 4, (768,)),
    "SDXL": ({"clip_l": (2, 768), "clip_g": (2, 1280)}, "sdxl", 2, (768, 1280)),
    "SD3": (
        {"clip_l": (2, 768), "clip_g": (2, 1280), "t5xxl": (2, 4096)},
        "sd3",
        2,
        (768, 1280, 4096),
    ),
    "clip_g alone": ({"clip_g": (2, 1280)}, "sdxl", 2, (1280,)),
    "clip_l alone": ({"clip_l": (2, 768)}, "sd1/sdxl", 2, (768,)),
    "diffusers, flat": ({"<cat-toy>": (768,)}, "sd1", 1, (768,)),
    "diffusers, rows": ({"<cat-toy>": (5, 1024)}, "sd2", 5, (1024,)),
    "diffusers, many": ({"<c>": (768,), "<c>_1": (768,), "<c>_2": (768,)}, "sd1", 3, (768,)),
    "diffusers, bare": ({"mycat": (2, 768)}, "sd1", 2, (768,)),
    "list": ({"0.*": (1, 768), "1.*": (2, 768)}, "sd1", 3, (768,)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_family_vectors_and_widths(layout: str) -> None:
    shapes, family, vectors, widths = LAYOUTS[layout]
    verdict = said(shapes)
    assert verdict.adapter is not None and verdict.family == family
    assert (verdict.adapter.vectors, verdict.adapter.widths) == (vectors, widths)
    assert not verdict.left_over and not verdict.contradictions


def test_the_file_name_calls_an_embedding_and_the_stored_name_follows() -> None:
    words = said({"string_to_param.*": (8, 768)}, BASES, "EasyNegative").trigger_words
    assert [(w.word, w.source) for w in words] == [
        ("EasyNegative", "file name"),
        ("cat", "name in the file"),
    ]


def test_a_name_like_the_files_is_said_once() -> None:
    words = said({"string_to_param.*": (8, 768)}, BASES, "cat").trigger_words
    assert [w.word for w in words] == ["cat"]


def test_a_picture_is_called_by_the_name_inside(tmp_path: Path) -> None:
    tensors = model({"string_to_param.*": (8, 768)})
    file = ModelFile(tmp_path / "x.png", PICTURE, tensors, 1)
    verdict = recognise(file, {}, BASES, "x")
    assert verdict is not None and verdict.trigger_words[0].word == "cat"


def test_a_token_calls_a_diffusers_embedding() -> None:
    words = said({"<cat-toy>": (768,)}).trigger_words
    assert (words[0].word, words[0].source) == ("<cat-toy>", "token name")


def test_the_training_is_told_from_what_lies_beside_the_tensors() -> None:
    evidence = said({"string_to_param.*": (8, 768)}, BASES).evidence
    assert "trained 500 steps on sd-v1-4 (7460a6fa)" in evidence


def test_the_training_is_told_of_a_converted_embedding_too() -> None:
    kept = {f"sfumato.extra.{key}": json.dumps(value) for key, value in BASES.items()}
    verdict = recognise(model({"emb_params": (8, 768)}), kept, {}, "file")
    assert verdict is not None
    assert "trained 500 steps on sd-v1-4 (7460a6fa)" in verdict.evidence


def test_unequal_text_encoders_and_second_words_are_contradictions() -> None:
    assert said({"clip_l": (2, 768), "clip_g": (3, 1280)}).contradictions
    two = {"string_to_param.*": (2, 768), "string_to_param.<b>": (2, 768)}
    assert said(two).contradictions


def test_an_odd_width_is_an_embedding_of_no_known_family() -> None:
    verdict = said({"string_to_param.*": (2, 320)})
    assert (verdict.family, verdict.confidence) == ("unknown", "guess")


@pytest.mark.parametrize(
    "shapes",
    [
        {"text_projection.weight": (768, 768)},
        {"weight": (1, 999)},
        {"weight": (1, 768), "bias": (1,)},
        {"<cat>": (3, 3, 768)},
        {"<cat>": (100_000, 768)},
        {"clip_l": (2, 768), "decoder.conv_in.weight": (2, 768)},
    ],
)
def test_small_files_that_are_no_embeddings_are_not_taken_for_one(shapes: Shapes) -> None:
    verdict = recognise(model(shapes), {}, {}, "file")
    assert verdict is None or verdict.kind != "embedding"


@pytest.mark.parametrize("shape", [(1, 768), (768,)])
def test_a_lone_tensor_is_an_aesthetic_gradient(shape: tuple[int, ...]) -> None:
    verdict = recognise({"tensor": unread(*shape)}, {}, {}, "fantasy")
    assert verdict is not None and verdict.kind == "aesthetic-gradient"


def test_a_lora_is_no_embedding() -> None:
    verdict = recognise(kohya("sd1"), {}, {}, "file")
    assert verdict is not None and verdict.kind == "lora"


def test_a_real_safetensors_embedding_is_called_by_its_file_name(real: Path) -> None:
    tensors, metadata = header(real / "embedding-EasyNegative.safetensors")
    verdict = recognise(tensors, metadata, {}, "EasyNegative")
    assert verdict is not None and verdict.adapter is not None
    assert (verdict.family, verdict.adapter.vectors) == ("sd1", 8)
    assert verdict.trigger_words[0].word == "EasyNegative"


def test_any_other_container_is_called_by_its_file_name(tmp_path: Path) -> None:
    tensors = model({"string_to_param.*": (8, 768)})
    file = ModelFile(tmp_path / "x.pt", TORCH_ZIP, tensors, 1)
    verdict = recognise(file, {}, BASES, "x")
    assert verdict is not None and verdict.trigger_words[0].word == "x"
