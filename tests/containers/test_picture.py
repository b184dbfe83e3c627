"""Embeddings in pictures: both carriers are read, and what is written A1111's rule finds."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pngs import EMBEDDING, chunk, header, png, text
from sfumato.containers import dtype as types
from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.layout import silent
from sfumato.containers.model_file import PICTURE, ModelFile
from sfumato.containers.open import open_model
from sfumato.containers.pictures.pixels import embed, extract, noise
from sfumato.containers.pictures.read import plan_picture
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from sfumato.errors import Refused, UsageError
from toys import contents, random_tensor

VECTORS = "string_to_param.*"
MIDDLE = np.full((64, 20, 3), 200, np.uint8)


def opened(path: Path, data: bytes) -> ModelFile:
    path.write_bytes(data)
    return open_model(path)


def painted(path: Path, payload: object, **options: object) -> Path:
    """A picture that hides a value in its pixels, and has no text."""
    pixels = embed(json.dumps(payload).encode(), MIDDLE, [0.5, -1, 0.25])
    Image.fromarray(pixels).save(path, **options)
    return path


def written(path: Path, tensors: dict[str, Tensor], **beside: str | int) -> Path:
    with path.open("wb") as sink:
        layout = plan_picture(tensors, {}, tree={**beside})
        layout.emit(sink, silent)
        assert path.stat().st_size <= layout.nbytes
    return path


def test_the_noise_is_that_of_the_generator() -> None:
    first = [253, 242, 127, 44, 157, 27, 239, 133, 38, 79, 167, 4, 177, 95, 130, 79]
    assert noise(16).tolist() == first
    assert noise(1000).sum(dtype=int) == 125_108
    assert noise(100_000).sum(dtype=int) == 12_729_115


def test_a_real_picture_tells_the_same_by_both_carriers(real: Path, tmp_path: Path) -> None:
    with open_model(real / "embedding-in-picture.png") as model:
        assert model.container == PICTURE
        assert model[VECTORS].shape == (8, 768)
        assert (model.extras["name"], model.extras["step"]) == ("rick", 60)
        assert model.notes == ()
        Image.open(model.path).save(tmp_path / "bare.png")
        with open_model(tmp_path / "bare.png") as bare:
            assert contents(bare) == contents(model)
            assert bare.extras == model.extras
            assert bare.notes == ("the embedding was read from the pixels",)


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iTXt packed"])
def test_every_sort_of_text_chunk_is_read(tmp_path: Path, kind: bytes) -> None:
    raw = base64.b64encode(json.dumps(EMBEDDING).encode())
    body = {
        b"tEXt": raw,
        b"zTXt": b"\0" + zlib.compress(raw),
        b"iTXt": b"\0\0en\0\0" + raw,
        b"iTXt packed": b"\1\0\0\0" + zlib.compress(raw),
    }[kind]
    data = png(chunk(kind[:4], b"sd-ti-embedding\0" + body))
    with opened(tmp_path / "a.png", data) as model:
        assert array(model[VECTORS]).tolist() == [[0.5, -1.0, 0.25]]
        assert model.extras == {"string_to_token.*": 265, "name": "bird", "step": 3}
        assert "only in the text" in model.notes[0]


def test_the_text_counts_where_the_pixels_say_otherwise(tmp_path: Path) -> None:
    path = painted(tmp_path / "a.png", EMBEDDING | {"name": "cat"})
    data = path.read_bytes()
    with opened(path, data[:33] + text() + data[33:]) as model:
        assert model.extras["name"] == "bird"
        assert "differ" in model.notes[0]


def test_the_pixels_count_where_the_text_is_spoilt(tmp_path: Path) -> None:
    path = painted(tmp_path / "a.png", EMBEDDING)
    data = path.read_bytes()
    spoilt = chunk(b"tEXt", b"sd-ti-embedding\0%%%")
    with opened(path, data[:33] + spoilt + data[33:]) as model:
        assert model.extras["name"] == "bird"
        assert "not base64" in model.notes[0]


def test_a_lossless_webp_hides_as_well_as_a_png(tmp_path: Path) -> None:
    with open_model(painted(tmp_path / "a.webp", EMBEDDING, lossless=True)) as model:
        assert array(model[VECTORS]).tolist() == [[0.5, -1.0, 0.25]]


def a1111_rule(path: Path) -> bytes:
    """The extraction of A1111, step by step as formats describe it."""
    pixels = np.array(Image.open(path).convert("RGB"))
    lit = (pixels > 0).all(2)
    rows, columns = np.nonzero(lit.any(1))[0], np.nonzero(lit.any(0))[0]
    cropped = pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] & 15
    black = np.nonzero(cropped.sum(axis=(0, 2)) == 0)[0]
    blocks = cropped[:, : black.min()], cropped[:, black.max() + 1 :]
    state, bits = 0, np.empty(blocks[0].size, np.uint8)
    for place in range(len(bits)):
        state = (1664525 * state + 1013904223) % 2**32
        bits[place] = state % 255 & 15
    low, high = (block.reshape(-1) ^ bits for block in blocks)
    return zlib.decompressobj().decompress((high << 4 | low).tobytes())


def test_what_is_written_is_found_by_the_rule_of_a1111(tmp_path: Path) -> None:
    tensors = {VECTORS: random_tensor((2, 768))}
    path = written(tmp_path / "a.png", tensors, name="bird", step=300)
    hidden = json.loads(a1111_rule(path))
    shown = json.loads(base64.b64decode(Image.open(path).text["sd-ti-embedding"]))
    assert hidden == shown
    assert hidden["string_to_token"] == {"*": 265}
    assert (hidden["name"], hidden["step"]) == ("bird", 300)
    vectors = np.array(hidden["string_to_param"]["*"]["TORCHTENSOR"], "f4")
    assert np.array_equal(vectors, array(tensors[VECTORS]))


@pytest.mark.parametrize(
    "shapes",
    [{VECTORS: (1, 768)}, {VECTORS: (75, 4)}, {"clip_l": (2, 768), "clip_g": (2, 1280)}],
)
def test_what_is_written_reads_back(tmp_path: Path, shapes: dict[str, tuple[int, int]]) -> None:
    tensors = {name: random_tensor(shape) for name, shape in shapes.items()}
    path = written(tmp_path / "a.png", tensors, name="Möwe \u202e", sd_checkpoint_name="v1-5")
    with open_model(path) as model:
        assert contents(model) == contents(tensors)
        assert model.extras["name"] == "Möwe \u202e"
        assert model.extras["sd_checkpoint_name"] == "v1-5"
        assert model.notes == ()


def test_saving_to_png_proves_the_picture(tmp_path: Path) -> None:
    tensors = {VECTORS: tensor_from(np.zeros((1, 8), "f4"))}
    saved = save(tmp_path / "a.png", tensors, {"name": "nothing", "step": "7"})
    with open_model(saved.path) as model:
        assert saved.verified and model.extras["step"] == 7


def test_a_picture_holds_one_embedding_and_nothing_else() -> None:
    vector = random_tensor((1, 4))
    for tensors in ({}, {"a": vector}, {VECTORS: vector, "b": vector}, {"clip_l": vector}):
        with pytest.raises(Refused, match="one embedding"):
            plan_picture(tensors, {})
    for wrong in (random_tensor((4,)), random_tensor((1, 4), types.F16), random_tensor((0, 4))):
        with pytest.raises(Refused, match="vectors in F32"):
            plan_picture({VECTORS: wrong}, {})


def test_numbers_that_json_does_not_have_are_refused(tmp_path: Path) -> None:
    tensors = {VECTORS: tensor_from(np.full((1, 4), np.nan, "f4"))}
    with pytest.raises(Refused, match="not finite"):
        written(tmp_path / "a.png", tensors)


def test_any_bytes_come_out_of_the_pixels_as_they_went_in() -> None:
    rng = np.random.default_rng(0)
    for size in (0, 1, 100, 5000):
        payload = rng.bytes(size)
        assert extract(embed(payload, MIDDLE, [0.0]), size) == payload


def test_a_picture_has_no_other_suffix(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        save(tmp_path / "a.jpg", {VECTORS: random_tensor((1, 4))})
    assert header()[4:8] == b"IHDR"
