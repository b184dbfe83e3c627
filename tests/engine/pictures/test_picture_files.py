"""Pictures as files: complete or not there, and with all that made them inside."""

from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato import __version__
from sfumato.engine.pictures.exif import read_exif
from sfumato.engine.pictures.infotext import Record, write_text
from sfumato.engine.pictures.picture import Picture
from sfumato.engine.pictures.program import VERSION
from sfumato.engine.pictures.readers.registry import read_picture_record
from sfumato.engine.pictures.used import FileUsed
from sfumato.errors import NoRoom, OutputExists, Refused, UsageError

FILES = (
    FileUsed("checkpoint", "any", "/home/me/secret/any.ckpt", "ab" * 32),
    FileUsed("lora", "ink", "ink.safetensors", "cd" * 32, "ef" * 32),
)
RECORD = Record("狐 é, a", "bad", {"Steps": "1", "Sampler": "Euler", "Seed": "7", "Size": "16x8"})


def picture(record: Record = RECORD) -> Picture:
    pixels = np.arange(16 * 8 * 3, dtype=np.uint8).reshape(8, 16, 3)
    return Picture(Image.fromarray(pixels), record, 7, FILES, ("a note",))


ENDINGS = pytest.mark.parametrize("ending", [".png", ".jpg", ".jpeg", ".webp"])


@ENDINGS
def test_a_picture_tells_how_it_was_made(tmp_path: Path, ending: str) -> None:
    found = read_picture_record(picture().save(tmp_path / f"a{ending}"))
    assert found is not None
    assert (found.program, found.record, found.notes) == ("Sfumato", RECORD, ("a note",))
    assert [file.sha256 for file in found.files] == ["ab" * 32, "cd" * 32]
    assert found.files[1].autov3 == "ef" * 32


def test_a_png_holds_the_texts_that_a1111_and_we_look_for(tmp_path: Path) -> None:
    with Image.open(picture().save(tmp_path / "a.png")) as image:
        assert image.info["parameters"] == write_text(RECORD)
        ours = json.loads(image.info["sfumato"])
        assert np.array_equal(np.asarray(image), np.asarray(picture().image))
    assert (ours["version"], ours["seed"]) == (__version__, 7)
    assert ours["files"][0]["file"] == "any.ckpt" and ours["files"][0]["sha256"] == "ab" * 32
    assert "secret" not in json.dumps(ours)


@pytest.mark.parametrize("ending", [".jpg", ".webp"])
def test_exif_is_as_pillow_understands_it(tmp_path: Path, ending: str) -> None:
    with Image.open(picture().save(tmp_path / f"a{ending}")) as image:
        comment = image.getexif().get_ifd(0x8769)[0x9286]
    assert comment == b"UNICODE\0" + write_text(RECORD).encode("utf-16-be")


def test_a_webp_of_full_quality_is_lossless(tmp_path: Path) -> None:
    with Image.open(picture().save(tmp_path / "a.webp", quality=100)) as image:
        assert np.array_equal(np.asarray(image), np.asarray(picture().image))


def test_characters_that_no_format_holds_are_replaced(tmp_path: Path) -> None:
    odd = Record("a\0b \ud800", "", RECORD.fields)
    for ending in (".png", ".jpg", ".webp"):
        found = read_picture_record(picture(odd).save(tmp_path / f"a{ending}"))
        assert found is not None and found.record.prompt == "ab ?"


def test_a_prompt_too_long_for_a_jpeg_is_refused_with_advice(tmp_path: Path) -> None:
    long = Record("x" * 40_000, "", RECORD.fields)
    with pytest.raises(Refused, match="save it as PNG or WebP"):
        picture(long).save(tmp_path / "a.jpg")
    found = read_picture_record(picture(long).save(tmp_path / "a.webp"))
    assert found is not None and found.record == long
    assert [path.name for path in tmp_path.iterdir()] == ["a.webp"]


def test_a_note_too_long_for_a_jpeg_leaves_the_text(tmp_path: Path) -> None:
    many = Picture(picture().image, RECORD, 7, FILES * 400)
    with Image.open(many.save(tmp_path / "a.jpg")) as image:
        exif = read_exif(image.info["exif"])
    assert exif.comment == write_text(RECORD) and not exif.note


def test_nothing_is_overwritten_unless_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(OutputExists):
        picture().save(path)
    assert path.read_bytes() == b"old"
    assert picture().save(path, overwrite=True).read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("name", ["a.bmp", "a", "a.safetensors"])
def test_an_unknown_ending_is_named_with_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"\.png, \.jpg, \.jpeg, \.webp"):
        picture().save(tmp_path / name)


def test_the_version_in_pictures_is_that_of_the_package() -> None:
    assert __version__ == VERSION


def full(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@ENDINGS
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoRoom):
        picture().save(tmp_path / f"a{ending}")
    with pytest.raises(NoRoom):
        picture().save_numbered(tmp_path, suffix=ending)
    assert not list(tmp_path.iterdir())


def test_an_interrupt_while_writing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        picture().save_numbered(tmp_path)
    assert not list(tmp_path.iterdir())


def test_numbers_go_on_from_the_largest(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert picture().save_numbered(folder).name == "00000-7.png"
    (folder / "00041-9.jpg").touch()
    (folder / "1234-short.png").touch()
    assert picture().save_numbered(folder, suffix=".webp").name == "00042-7.webp"


def test_pictures_written_at_once_take_names_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: picture().save_numbered(tmp_path), range(24)))
    assert len(set(paths)) == 24 == len(list(tmp_path.iterdir()))


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="cannot be written"):
        picture().save_numbered(tmp_path / "file")
