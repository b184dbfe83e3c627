"""Pictures from strangers: reading them ends, soon, with an answer or a sentence."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from foreign_pictures import GRAPH, node, png, with_comment, with_hidden
from pngs import END, grey, header
from sfumato.containers.pictures.chunks import MAGIC, chunk
from sfumato.engine.pictures.exif import Exif, read_exif, write_exif
from sfumato.engine.pictures.readers.carried import Carried
from sfumato.engine.pictures.readers.comfy_graph import STEPS
from sfumato.engine.pictures.readers.registry import READERS, read_picture_record
from sfumato.engine.pictures.requests import to_request
from sfumato.errors import Damaged, SfumatoError

quick = settings(max_examples=60, deadline=None)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
KEYWORDS = (
    "parameters", "prompt", "invokeai_metadata", "sd-metadata", "Dream", "Comment", "sfumato",
    "Software", "negative_prompt", "Steps", "XML:com.adobe.xmp",
)  # fmt: skip
names = st.sampled_from([
    "image", "model", "loras", "prompt", "c", "steps", "base_model", "seed", "files", "version",
    "sui_image_params", "size", "resolution", "clip_skip", "lora", "vae", "width", "class_type",
    "inputs", "positive", "negative", "latent_image", "performance", "loraweights", "v2",
])  # fmt: skip


def asked(texts: dict[str, object]) -> None:
    """Every reader reads the texts; none may fail."""
    told = {key: text if isinstance(text, str) else json.dumps(text) for key, text in texts.items()}
    carried = Carried(Path("a.png"), (8, 8), tuple(told.items()), Exif())
    for reader in READERS:
        found = reader.read(carried)
        if found is not None:
            to_request(found.record)


@quick
@given(st.sampled_from(KEYWORDS), st.dictionaries(names, values, max_size=6))
def test_json_of_any_shape_is_read_or_passed_over(keyword: str, value: dict[str, object]) -> None:
    asked({keyword: value})
    asked({keyword: value, "Software": "NovelAI"})


links = st.lists(st.sampled_from([*GRAPH, 3, None]) | st.integers(0, 2), min_size=2, max_size=2)
graphs = st.dictionaries(
    st.sampled_from([*GRAPH]),
    st.fixed_dictionaries(
        {
            "class_type": st.sampled_from(["KSampler", "CLIPTextEncode", "LoraLoader", "X"]),
            "inputs": st.dictionaries(
                st.sampled_from(["model", "positive", "negative", "clip", "text", "latent_image"]),
                links | values,
            ),
        }
    ),
)


@quick
@given(graphs)
def test_graphs_of_any_form_come_to_an_end(graph: dict[str, object]) -> None:
    asked({"prompt": {**GRAPH, **graph}})


def test_a_graph_that_goes_in_circles_comes_to_an_end(tmp_path: Path) -> None:
    circle = {**GRAPH, "6": node("CLIPTextEncode", text=["6", 0], clip=["11", 0])}
    circle["10"] = node("LoraLoader", lora_name="ink", model=["10", 0], clip=["11", 0])
    assert read_picture_record(png(tmp_path / "a.png", {"prompt": circle})) is not None


def test_a_graph_of_many_samplers_costs_no_more_than_its_bound(tmp_path: Path) -> None:
    many = {
        str(i): node("KSampler", steps=1, positive=["0", 0], latent_image=[str((i + 1) % 3000), 0])
        for i in range(3000)
    }
    assert STEPS < 1_000_000
    found = read_picture_record(png(tmp_path / "a.png", {"prompt": many}))
    assert found is not None


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "9" * 10_000, "NaN", "{", ""])
@pytest.mark.parametrize("keyword", ["parameters", "prompt", "invokeai_metadata", "sfumato"])
def test_json_bombs_are_passed_over(tmp_path: Path, keyword: str, text: str) -> None:
    read_picture_record(png(tmp_path / "a.png", {keyword: text}))


def test_a_text_that_inflates_without_end_is_refused(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(65 << 20), 1)
    data = MAGIC + header() + chunk(b"zTXt", b"parameters\0\0" + bomb) + grey() + END
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(Damaged, match="bytes of text"):
        read_picture_record(tmp_path / "a.png")


def test_hidden_text_that_inflates_without_end_is_cut(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(1 << 20), 9)
    read_picture_record(with_hidden(tmp_path / "a.png", b"stealth_pngcomp", bomb))
    read_picture_record(with_hidden(tmp_path / "a.png", b"stealth_pngcomp", b"no gzip"))


def test_a_picture_too_large_to_decode_is_still_read(tmp_path: Path) -> None:
    text = chunk(b"tEXt", b"parameters\0a\nSteps: 1, Seed: 1, Sampler: Euler")
    data = MAGIC + header(40_000, 40_000) + text + grey() + END
    (tmp_path / "a.png").write_bytes(data)
    found = read_picture_record(tmp_path / "a.png")
    assert found is not None and found.record.prompt == "a"


@quick
@given(st.binary(max_size=80))
def test_exif_of_any_bytes_is_read_or_passed_over(data: bytes) -> None:
    read_exif(data)
    read_exif(b"MM\0\x2a\0\0\0\x08" + data)
    read_exif(b"Exif\0\0II\x2a\0\x08\0\0\0" + data)


@quick
@given(st.integers(0, 400), st.integers(0, 255))
@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "avif", "gif"])
def test_a_file_with_one_wrong_byte_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, ending: str, place: int, value: int
) -> None:
    path = tmp_path_factory.mktemp("wrong") / f"a.{ending}"
    if ending == "gif":
        Image.new("RGB", (8, 8)).save(path, comment=b"a\nSteps: 1, Seed: 1, Sampler: x")
    else:
        with_comment(path, "a\nSteps: 1, Seed: 1, Sampler: x")
    data = bytearray(path.read_bytes())
    data[place % len(data)] = value
    path.write_bytes(data)
    try:
        read_picture_record(path)
    except SfumatoError as error:
        assert "\n" not in str(error)


@given(st.text(max_size=40), st.text(max_size=20))
def test_exif_gives_back_what_was_written(comment: str, note: str) -> None:
    found = read_exif(write_exif(comment, note, "x"))
    ascii_like = sum(ord(letter) < 256 for letter in comment) * 2 > len(comment)
    if ascii_like and not comment.endswith("\0") and not note.endswith("\0"):
        assert (found.comment, found.note, found.software) == (comment, note, "x")


def test_a_side_file_of_nonsense_is_passed_over(tmp_path: Path) -> None:
    png(tmp_path / "a.png", {})
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00" * 1000)
    assert read_picture_record(tmp_path / "a.png") is None
