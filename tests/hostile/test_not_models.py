"""Files under the name of a model that are something else: each gets its own sentence."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import zipfile
from pathlib import Path

import pytest

from sfumato.containers.open import open_model
from sfumato.errors import BadFile, Damaged, Dangerous, NotAModel, Unreadable, Unsupported
from tables import message, number

SUFFIXES = (".pt", ".bin", ".gguf", ".safetensors")
HTML = (
    b"<!DOCTYPE html>\n<html><head><title>\n Log in \xc2\xb7 \x1b[31mCivitai </title></head></html>"
)
POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:fe4efff1e174c627256e44ec2991ba279b3816e364b49f9be2abc0b3ff3f8556\n"
    b"size 4265380512\n"
)


def refused(path: Path, data: bytes, error: type[BadFile], reason: str) -> str:
    path.write_bytes(data)
    with pytest.raises(error, match=reason) as caught:
        open_model(path)
    sentence = str(caught.value)
    assert not [letter for letter in sentence if not letter.isprintable()]
    return sentence


@pytest.mark.row(1)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_file(tmp_path: Path, suffix: str) -> None:
    refused(tmp_path / f"a{suffix}", b"", NotAModel, "is empty: its download never began")


@pytest.mark.row(2)
@pytest.mark.parametrize("size", range(1, 8))
def test_a_file_of_a_few_bytes(tmp_path: Path, size: int) -> None:
    refused(tmp_path / "a.pt", b"abcdefg"[:size], NotAModel, f"has {size} bytes?, too few")
    refused(tmp_path / "a.pt", bytes(size), NotAModel, "too few for any model")


@pytest.mark.row(3)
@pytest.mark.parametrize("front", [b"", b"\xef\xbb\xbf", b"\n  "])
def test_a_web_page(tmp_path: Path, front: bytes) -> None:
    said = refused(tmp_path / "a.pt", front + HTML, NotAModel, "is a web page with the title")
    assert r"“Log in · \x1b[31mCivitai”" in said
    large = front + HTML + b"<p>" * 60_000
    refused(tmp_path / "a.pt", large, NotAModel, "the download needs a login")


@pytest.mark.row(3)
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html><body>no title</body></html>", "is a web page, saved in place"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "AccessDenied"),
        (b'<?xml version="1.0"?><note>text</note>', "is XML"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "is XML"),
    ],
)
def test_other_pages(tmp_path: Path, data: bytes, reason: str) -> None:
    refused(tmp_path / "a.ckpt", data, NotAModel, reason)


@pytest.mark.row(4)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_git_lfs_pointer_tells_what_it_stands_for(tmp_path: Path, suffix: str) -> None:
    said = refused(tmp_path / f"a{suffix}", POINTER, NotAModel, "is a Git LFS pointer")
    assert "4.27 GB (4265380512 bytes)" in said
    assert "fe4efff1e174c627256e44ec2991ba279b3816e364b49f9be2abc0b3ff3f8556" in said
    assert "git lfs pull" in said


@pytest.mark.row(4)
def test_a_pointer_that_lies_is_still_one_sentence(tmp_path: Path) -> None:
    first = POINTER.splitlines()[0]
    for rest in (b"", b"\n", b"\nsize -1", b"\nsize " + b"9" * 5000, b"\noid \x1b[2J\xff\nsize x"):
        refused(tmp_path / "a.bin", first + rest, NotAModel, "SHA-256")


@pytest.mark.row(5)
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"This file was removed by its author.\nSorry.", "begins: “This file was removed"),
        ("Модель удалена автором".encode(), "begins: “Модель"),
        (b"c'est un texte\net rien de plus\n", "begins: “c'est un texte”"),
        (b"(1) Download the model.\n(2) Run it.", r"begins: “\(1\) Download"),
        (b"cats\nmice\nbirds\n", "begins: “cats”"),
        (b"I am a text.\nN. is my name.", "begins: “I am a text"),
        (b"N. This is text", "begins: “N. This"),
        (b"\n \t\n      \n", "is blank text"),
        ("UTF-16, by Notepad".encode("utf-16"), "text in UTF-16"),
        (b"a" * 5000 + "é".encode(), "begins: “aaa"),
        (b"x" * 4095 + "é".encode(), "begins: “xxx"),
    ],
)
def test_plain_text(tmp_path: Path, data: bytes, reason: str) -> None:
    refused(tmp_path / "a.pt", data, NotAModel, reason)


@pytest.mark.row(6)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"error": "Invalid credentials\x1b[0m"}, r"error message of a server \(“Invalid cred"),
        ({"_class_name": "UNet2DConditionModel"}, "diffusers model; the weights lie beside"),
        ({"model_type": "clip", "architectures": []}, "transformers model"),
        ({"modelId": 7, "error": "x"}, "from a model site"),
        ({"nodes": [], "links": []}, "ComfyUI workflow"),
        ({"3": {"class_type": "KSampler"}}, "ComfyUI workflow"),
        ({"w": {"dtype": "F32", "data_offsets": [0, 4]}}, "header of a safetensors file as text"),
        ({"a\u202e": 1}, r"its keys: a\\u202e"),
        ({}, "its keys: none"),
        ([1, 2, 3], "is JSON text, not a model"),
    ],
)
def test_json(tmp_path: Path, value: object, reason: str) -> None:
    refused(tmp_path / "a.safetensors", json.dumps(value).encode() + b"      ", NotAModel, reason)


@pytest.mark.row(6)
@pytest.mark.parametrize("data", [b'{"a": 1,', b'{"a":' * 100_000, b"[" * 200_000, b"{broken}  "])
def test_broken_json(tmp_path: Path, data: bytes) -> None:
    refused(tmp_path / "a.safetensors", data, NotAModel, "begins like JSON and is none")


@pytest.mark.row(6)
def test_a_safetensors_file_without_its_first_bytes(tmp_path: Path) -> None:
    data = b'{"w":{"dtype":"F32","shape":[1000],"data_offsets":[0,4000]}}' + b" " * 4096 + bytes(9)
    refused(tmp_path / "a.safetensors", data, Damaged, "lost the eight bytes before its header")


@pytest.mark.row(7)
def test_what_is_not_a_readable_file(tmp_path: Path) -> None:
    (tmp_path / "link.pt").symlink_to(tmp_path / "gone.pt")
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "folder").mkdir()
    for name, reason in (("link.pt", "is a link to"), ("pipe.pt", "is a pipe, not a file")):
        with pytest.raises(Unreadable, match=reason):
            open_model(tmp_path / name)
    with pytest.raises(NotAModel, match="folder without weights"):
        open_model(tmp_path / "folder")
    for gone in ("gone.pt", "no/such.pt", "a\0b"):
        with pytest.raises(Unreadable):
            open_model(tmp_path / gone)
    with pytest.raises(Unreadable, match="is a device"):
        open_model("/dev/null")


@pytest.mark.row(7)
def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pt").write_bytes(b"secret and long enough")

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(Unreadable, match="Permission denied"):
        open_model(tmp_path / "a.pt")


def keras() -> bytes:
    return b"\x89HDF\r\n\x1a\n" + bytes(100)


def zipped(name: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(name, b"x")
    return sink.getvalue()


ONNX = number(1, 8) + message(2, b"pytorch") + message(3, b"2.1.0") + message(7, bytes(50))
META = (
    message(1, message(2, message(1, message(1, b"Add"))) + message(5, b"1.15.0"))
    + message(2, message(1, message(1, b"x") + message(2, b"Placeholder")))
)  # fmt: skip
FROZEN = message(1, message(1, b"input") + message(2, b"Placeholder")) * 3

FOREIGN: tuple[tuple[str, bytes, type[BadFile], str], ...] = (
    ("7z", b"7z\xbc\xaf\x27\x1c\0\4" + bytes(50), NotAModel, "a 7-zip archive.*unpack it"),
    ("gzip", gzip.compress(b"model"), NotAModel, "gzip-compressed data"),
    ("xz", lzma.compress(b"model"), NotAModel, "xz-compressed data"),
    ("bz2", bz2.compress(b"model"), NotAModel, "bzip2-compressed data"),
    ("zstd", b"\x28\xb5\x2f\xfd\x24\x05" + bytes(9), NotAModel, "Zstandard-compressed"),
    ("rar", b"Rar!\x1a\x07\1\0" + bytes(50), NotAModel, "a RAR archive"),
    ("hdf5", keras(), Unsupported, "HDF5 file, as Keras"),
    ("old ggml", b"lmgg" + bytes(50), Unsupported, "from before GGUF"),
    ("ggjt", b"tjgg\3\0\0\0" + bytes(50), Unsupported, "from before GGUF"),
    ("onnx", ONNX, Unsupported, "is an ONNX model"),
    ("meta", META, Unsupported, r"graph of a TensorFlow checkpoint \(.meta\)"),
    ("frozen graph", FROZEN, Unsupported, "TensorFlow graph"),
    ("preview torch", b"PYTORCH1" + bytes(50), Unsupported, "preview of PyTorch 1.0"),
    ("empty zip", b"PK\5\6" + bytes(18), NotAModel, "empty zip archive"),
    ("zip of a model", zipped("a.safetensors"), Unsupported, "unpack it first"),
    ("zip of text", zipped("a.txt"), NotAModel, "without a model in it"),
    ("avif", b"\0\0\0\x1cftypavif" + bytes(20), Unsupported, "AVIF picture"),
    ("mp4", b"\0\0\0\x1cftypisom" + bytes(20), NotAModel, "video"),
    ("pdf", b"%PDF-1.7\n\xe2\xe3\xcf\xd3", NotAModel, "PDF document"),
    ("windows program", b"MZ\x90\0\3\0\0\0\4\0", NotAModel, "do not start it"),
    ("zeros", bytes(5000), Damaged, "begins with 4096 zero bytes"),
    ("noise", b"\xfe\xfc\xf0\1\2\3\4\5\6", NotAModel, "begins with fe fc f0 01 02 03 04 05"),
)


@pytest.mark.row(9)
@pytest.mark.parametrize(
    ("data", "error", "reason"), [case[1:] for case in FOREIGN], ids=[case[0] for case in FOREIGN]
)
def test_other_formats_are_named(
    tmp_path: Path, data: bytes, error: type[BadFile], reason: str
) -> None:
    refused(tmp_path / "a.ckpt", data, error, reason)


@pytest.mark.row(9)
def test_an_array_of_numpy_without_a_name_is_read_or_refused_by_its_reader(tmp_path: Path) -> None:
    refused(tmp_path / "a.ckpt", b"\x93NUMPY\1\0\xff\xff{", BadFile, "numpy|array|header")


def stripped(data: bytes) -> bytes:
    return bytes(byte for byte in data if byte < 0x80)


@pytest.mark.row(10)
@pytest.mark.parametrize("treat", [stripped, lambda data: data.decode("utf-8", "replace").encode()])
def test_a_zip_that_was_treated_as_text(tmp_path: Path, treat: object) -> None:
    assert callable(treat)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\2}q\0." + bytes(range(256)) * 2)
    refused(tmp_path / "a.pt", treat(sink.getvalue()), Damaged, "was treated as text on its way")


@pytest.mark.row(10)
def test_a_pickle_that_was_treated_as_text(tmp_path: Path) -> None:
    data = (b"\x80\2\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." * 3).decode("utf-8", "replace").encode()
    refused(tmp_path / "a.pt", data, Damaged, "bytes above 127 have been replaced")


@pytest.mark.row(57)
def test_a_download_cut_off_in_its_header_says_how_much_is_missing(tmp_path: Path) -> None:
    data = (5000).to_bytes(8, "little") + b'{"w":{"dtype":"F32"'
    said = refused(tmp_path / "a.safetensors", data, Damaged, "cut off in its header")
    assert "has 5000 bytes" in said and f"{len(data)} in all" in said


CALLS = b"cposix\nsystem\n(S'true'\ntR."


def text_that_calls() -> bytes:
    return b"Very plain text, is it not?\n0" + CALLS


def header_that_calls() -> bytes:
    """A header of safetensors whose length, read as a pickle, skips the first 300 bytes of it."""
    length = ord("X") | 300 << 8
    header = b'{"' + b"n" * 295 + b"0" + CALLS
    return length.to_bytes(8, "little") + header.ljust(length) + bytes(99)


@pytest.mark.row(61)
@pytest.mark.parametrize(
    "data",
    [
        text_that_calls(),
        header_that_calls(),
        b"MZ\x00" + b"0" + CALLS,
        b"K\1" + b"0" + CALLS + b"PK\5\6" + bytes(18),
        b"GGUF\3\0\0\0\1" + b"0" + CALLS,
        b"\x89" + CALLS,
    ],
)
def test_what_is_a_pickle_besides_is_taken_for_the_pickle(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(Dangerous, match=r"posix\.system"):
        open_model(tmp_path / "a.safetensors")


@pytest.mark.row(61)
def test_bytes_before_a_zip_make_it_no_zip(tmp_path: Path) -> None:
    refused(tmp_path / "a.pt", b"\xfe\xff\xfe\xff" + zipped("m/data.pkl"), NotAModel, "UTF-16")
    refused(tmp_path / "a.pt", b"\1\2\3\4" + zipped("m/data.pkl"), NotAModel, "no format that is")
