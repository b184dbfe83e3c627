"""Pictures that lie, and pictures that are just pictures."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pngs import EMBEDDING, END, chunk, grey, header, png, text
from sfumato.containers.limits import Limits
from sfumato.containers.open import open_model
from sfumato.containers.pictures.chunks import MAGIC
from sfumato.containers.pictures.pixels import embed
from sfumato.errors import BadFile, Damaged, NotAModel, Unsupported

KEY = b"sd-ti-embedding\0"


def refused(path: Path, data: bytes, error: type[BadFile], reason: str, **limits: int) -> None:
    path.write_bytes(data)
    with pytest.raises(error, match=reason):
        open_model(path, limits=Limits(**limits))


def raw(value: str) -> bytes:
    """A text chunk with any text."""
    return chunk(b"tEXt", KEY + value.encode())


def tensor(value: object) -> bytes:
    return text(EMBEDDING | {"string_to_param": {"*": {"TORCHTENSOR": value}}})


def wrong_checksum(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


BOMB = zlib.compress(bytes(1 << 20), 9)
BROKEN = {
    "only the mark": (MAGIC, "has no PNG header"),
    "mark cut off": (MAGIC + header()[:-1], "has no PNG header"),
    "header not first": (MAGIC + grey() + header() + END, "has no PNG header"),
    "header of 14 bytes": (MAGIC + chunk(b"IHDR", bytes(14)) + END, "has no PNG header"),
    "checksum of the header": (png(head=wrong_checksum(header())), "wrong checksum in its IHDR"),
    "no width": (png(head=header(width=0)), "impossible PNG header"),
    "depth 3": (png(head=header(depth=3)), "impossible PNG header"),
    "colour 5": (png(head=header(colour=5)), "impossible PNG header"),
    "no end": (png()[: -len(END)], "cut off"),
    "chunk past the end": (MAGIC + header() + b"\x7f\xff\xff\xffIDATabc", "cut off"),
    "pixels cut off": (png(pixels=chunk(b"IDAT", b"x\x9c")), "cannot be decoded"),
    "no pixels": (png(pixels=b""), "cannot be decoded"),
    "pixels that are none": (png(pixels=chunk(b"IDAT", b"abcdefgh")), "cannot be decoded"),
    "too many packed pixels": (png(pixels=chunk(b"IDAT", bytes(1 << 18))), "more packed pixels"),
    "2^31 wide": (png(head=header(width=2**31 - 1, height=2**31 - 1)), "more than the 64000000"),
    "no keyword": (png(chunk(b"tEXt", b"abc")), "without a keyword"),
    "long keyword": (png(chunk(b"tEXt", b"k" * 80 + b"\0")), "without a keyword"),
    "checksum of the text": (png(wrong_checksum(text())), "wrong checksum in its tEXt"),
    "zTXt method": (png(chunk(b"zTXt", KEY + b"\1abc")), "unknown compression"),
    "zTXt that is none": (png(chunk(b"zTXt", KEY + b"\0abc")), "does not inflate"),
    "zTXt cut off": (png(chunk(b"zTXt", KEY + b"\0" + BOMB[:-9])), "cut off"),
    "iTXt without fields": (png(chunk(b"iTXt", KEY + b"\0\0abc")), "malformed text"),
    "not base64": (png(raw("%%%")), "not base64"),
    "base64 cut off": (png(raw("abcde")), "not base64"),
    "base64 with letters of another alphabet": (png(raw("äöü")), "not base64"),
    "not JSON": (png(raw("e30=x")), "not base64"),
    "JSON cut off": (png(raw("e30gew==")), "cannot be read"),
    "ragged": (png(tensor([[1, 2], [3]])), "differ in length"),
    "no numbers": (png(tensor([["a"]])), "no number"),
    "truth values": (png(tensor([[True]])), "no number"),
    "nothing": (png(tensor([[None]])), "no number"),
    "half a list": (png(tensor([[1.0], 2.0])), "differ in length"),
    "not a list": (png(tensor(5)), "no list of numbers"),
    "endless number": (png(tensor([[10**400]])), "beyond all bounds"),
    "nested too deeply": (png(tensor(json.loads("[" * 9 + "]" * 9))), "more than 8 dimensions"),
}


@pytest.mark.row(69)
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_picture_is_refused_and_says_why(tmp_path: Path, case: str) -> None:
    data, reason = BROKEN[case]
    refused(tmp_path / "a.png", data, Damaged, reason)


@pytest.mark.row(69)
def test_texts_that_inflate_without_end_are_stopped(tmp_path: Path) -> None:
    data = png(chunk(b"zTXt", b"a\0\0" + BOMB), chunk(b"zTXt", b"b\0\0" + BOMB))
    refused(tmp_path / "a", data, Damaged, "bytes of text, at b", image_text=3 << 19)
    packed = png(chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB))
    refused(tmp_path / "a", packed, Damaged, "bytes of text, at a", image_text=1000)


@pytest.mark.row(69)
@pytest.mark.parametrize("nested", ["[", '{"a":'])
def test_json_of_endless_depth_is_refused(tmp_path: Path, nested: str) -> None:
    import base64

    for depth in (200, 100_000):
        text = nested * depth + ("1" if nested != "[" else "") + {"[": "]"}.get(nested, "}") * depth
        data = png(raw(base64.b64encode(text.encode()).decode()))
        refused(tmp_path / "a", data, Damaged, "deep|deeper")


@pytest.mark.row(69)
def test_an_embedding_of_seventy_megabytes_is_refused(tmp_path: Path) -> None:
    data = png(chunk(b"tEXt", KEY + b"MTExMTEx" * (9 << 20)))
    refused(tmp_path / "a", data, Damaged, "bytes of text")


@pytest.mark.row(70)
def test_two_embeddings_that_differ_are_refused_and_twins_are_noted(tmp_path: Path) -> None:
    other = text(EMBEDDING | {"name": "cat"})
    refused(tmp_path / "a.png", png(text(), other), Damaged, "holds 2 embeddings that differ")
    (tmp_path / "a.png").write_bytes(png(text(), text()))
    with open_model(tmp_path / "a.png") as model:
        assert "2 times" in model.notes[0]


def hidden(change: Callable[[np.ndarray], object]) -> np.ndarray:
    pixels = embed(json.dumps(EMBEDDING).encode(), np.full((64, 20, 3), 200, np.uint8), [1.0])
    change(pixels)
    return pixels


@pytest.mark.row(70)
def test_hidden_data_that_were_damaged_are_called_so(tmp_path: Path) -> None:
    def smear(pixels: np.ndarray) -> None:
        pixels[10:, 0] ^= 5

    Image.fromarray(hidden(smear)).save(tmp_path / "a.png")
    with pytest.raises(Damaged, match="hidden data that are"):
        open_model(tmp_path / "a.png")


@pytest.mark.row(70)
def test_a_picture_that_lost_a_side_is_just_a_picture(tmp_path: Path) -> None:
    Image.fromarray(hidden(lambda _: None)[:, 5:]).save(tmp_path / "a.png")
    with pytest.raises(NotAModel, match="no embedding is in it"):
        open_model(tmp_path / "a.png")


@pytest.mark.row(70)
def test_hidden_data_may_not_inflate_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfumato.containers.pictures.read.MOST", 50)
    Image.fromarray(hidden(lambda _: None)).save(tmp_path / "a.png")
    with pytest.raises(Damaged, match="hides more than 50 bytes"):
        open_model(tmp_path / "a.png")


@pytest.mark.parametrize("colour", ["black", "white", "grey"])
def test_a_plain_picture_is_just_a_picture(tmp_path: Path, colour: str) -> None:
    Image.new("RGB", (40, 30), colour).save(tmp_path / "a.png")
    with pytest.raises(NotAModel, match="is a picture of 40 × 30 pixels, not a model"):
        open_model(tmp_path / "a.png")


@pytest.mark.row(69)
def test_a_large_picture_is_not_decoded(tmp_path: Path) -> None:
    pixels = chunk(b"IDAT", zlib.compress(bytes(8_000 * 3 + 1) * 40))
    large = header(width=8_000, height=8_000)
    refused(tmp_path / "a.png", png(head=large, pixels=pixels), NotAModel, "8000 × 8000")
    (tmp_path / "b.png").write_bytes(png(text(), head=large, pixels=pixels))
    with open_model(tmp_path / "b.png") as model:
        assert "too large to be searched" in model.notes[0]


def test_a_picture_that_tells_how_it_was_made_is_called_so(tmp_path: Path) -> None:
    data = png(chunk(b"tEXt", b"parameters\0a bird\nSteps: 20, Sampler: Euler a"))
    refused(tmp_path / "a.png", data, NotAModel, r"how it was made \(parameters\)")


def test_bytes_after_the_end_of_a_picture_are_noted(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(text()) + b"PK\3\4 and more")
    with open_model(tmp_path / "a.png") as model:
        assert model.notes[-1] == "13 bytes follow the end of the picture"


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (b"RIFF\x04\0\0\0WAVE" + bytes(20), NotAModel, "RIFF file"),
        (b"RIFF\xff\0\0\0WEBPVP8L" + bytes(20), Damaged, "cut off"),
        (b"RIFF\x14\0\0\0WEBPVP8L\xff\0\0\0" + bytes(20), Damaged, "more than are left"),
        (b"RIFF\x14\0\0\0WEBPEXIF\x08\0\0\0" + bytes(20), Damaged, "no still picture"),
        (b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f\xff\xff\xff\xff" + bytes(9), Damaged, "16384"),
        (b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f\x01\0\0\0" + bytes(9), Damaged, "be decoded"),
    ],
)
def test_a_webp_that_lies_is_refused(
    tmp_path: Path, data: bytes, error: type[BadFile], reason: str
) -> None:
    refused(tmp_path / "a.webp", data, error, reason)


def test_a_lossy_webp_is_just_a_picture(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "grey").save(tmp_path / "a.webp", quality=50)
    with pytest.raises(NotAModel, match="40 × 30 pixels"):
        open_model(tmp_path / "a.webp")


@pytest.mark.row(8)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".ckpt"])
def test_a_picture_under_the_name_of_a_model_is_seen(tmp_path: Path, suffix: str) -> None:
    refused(tmp_path / f"a{suffix}", MAGIC, Damaged, "no PNG header")
    refused(tmp_path / f"a{suffix}", png(), NotAModel, "is a picture of 2 × 2 pixels")
    refused(tmp_path / f"a{suffix}", b"\xff\xd8\xff\xe0JFIF1", NotAModel, "a JPEG picture")
    refused(tmp_path / f"a{suffix}", b"\xff\x0a" + bytes(9), Unsupported, "JPEG XL")


@pytest.mark.row(69)
def test_no_flipped_byte_gives_anything_but_a_sentence(tmp_path: Path) -> None:
    whole, chance = png(text()), random.Random(69)
    for _ in range(300):
        bent = bytearray(whole)
        bent[chance.randrange(8, len(bent))] ^= 1 << chance.randrange(8)
        (tmp_path / "a.png").write_bytes(bytes(bent))
        try:
            open_model(tmp_path / "a.png").close()
        except BadFile as error:
            assert "\n" not in str(error)
