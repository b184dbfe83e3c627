"""The format of a file is told by its content, never by its name."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

from ggufs import gguf
from pngs import png
from sfumato.containers.model_file import (
    GGUF,
    NPZ,
    PICKLE,
    PICTURE,
    SAFETENSORS,
    SHARDED,
    TENSORFLOW_V1,
    TENSORFLOW_V2,
    TORCH_LEGACY,
    TORCH_TAR,
    TORCH_ZIP,
    Container,
)
from sfumato.containers.sniffing.sniff import sniff
from sfumato.containers.source import Source
from tables import number, table, version_1
from toys import write

STATE = {"w": torch.zeros(2)}


def saved(**options: object) -> bytes:
    sink = io.BytesIO()
    torch.save(STATE, sink, **options)
    return sink.getvalue()


def zipped(*names: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return sink.getvalue()


def tarred(*names: str, mark: bool = True) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    data = bytearray(sink.getvalue())
    if not mark:
        told = int(bytes(data[148:154]), 8) - sum(data[257:265])
        data[257:265] = bytes(8)
        data[148:154] = b"%06o" % told
    return bytes(data)


SAFE = b"\x10\0\0\0\0\0\0\0" + b'{"__metadata__":{}}'[:16]

FILES: dict[str, tuple[bytes, Container]] = {
    "torch zip": (saved(), TORCH_ZIP),
    "torch zip cut off": (saved()[:300], TORCH_ZIP),
    "torch legacy": (saved(_use_new_zipfile_serialization=False), TORCH_LEGACY),
    "torch legacy, protocol 4": (
        saved(_use_new_zipfile_serialization=False, pickle_protocol=4),
        TORCH_LEGACY,
    ),
    "torch legacy, protocol 0": (
        saved(_use_new_zipfile_serialization=False, pickle_protocol=0),
        TORCH_LEGACY,
    ),
    "torch tar": (tarred("storages", "tensors", "pickle"), TORCH_TAR),
    "tar without a mark": (tarred("pickle", mark=False), TORCH_TAR),
    "npz": (zipped("a.npy", "b.npy"), NPZ),
    "npy": (b"\x93NUMPY\1\0v\0", NPZ),
    "gguf": (gguf(), GGUF),
    "png": (png(), PICTURE),
    "webp": (b"RIFF\4\0\0\0WEBP", PICTURE),
    "safetensors": (SAFE, SAFETENSORS),
    "safetensors with spaces first": (b"\x04\0\0\0\0\0\0\0  {}", SAFETENSORS),
    "safetensors of impossible length": (b"\xff" * 8 + b"{}", SAFETENSORS),
    "safetensors that begin like protocol 2": (
        b"\x80\2\0\0\0\0\0\0{" + b" " * 638 + b"}",
        SAFETENSORS,
    ),
    "index of shards": (b' \n{"weight_map": {"w": "a.safetensors"}}', SHARDED),
    "tensorflow 2": (table({b"": number(1, 1)}), TENSORFLOW_V2),
    "tensorflow 1": (version_1({}), TENSORFLOW_V1),
}


@pytest.mark.parametrize("name", FILES)
def test_the_container_is_known_by_content(tmp_path: Path, name: str) -> None:
    data, container = FILES[name]
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    with Source(path) as source:
        assert sniff(source) == container


@pytest.mark.parametrize(
    "data",
    [
        b"(dp0\nVstep\np1\nI1\ns.",
        b"(lp0\nI1\naI2\na.",
        b"ccollections\nOrderedDict\n(tR.",
        b"c__builtin__\nset\n((lI1\natR.",
        b"]q\0(K\1K\2K\3e.",
        b"}q\0X\4\0\0\0stepq\1K\1s.",
        b"})" + b"\x85" * 50 + b"Ns.",
        b"Vabcdefgh\n.",
        b"S'abcdefgh'\n.",
        b"L12345678L\n.",
        b"I12345678\n.",
        b"(I1\nI2\nI3\nt.",
        b"\x80\2}q\0U\1aK\1s.",
        b"\x80\5\x95\x09\0\0\0\0\0\0\0]\x94(K\1K\2e.",
        b"\x80\x09}q\0U\1aK\1s.",
        b"N0cos\nsystem\n(S'true'\ntR.",
    ],
)
def test_a_pickle_of_any_protocol_is_known(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with Source(path) as source:
        assert sniff(source) == PICKLE


def test_every_real_file_is_known(real: Path) -> None:
    found = {path.name: sniff(Source(path)) for path in real.iterdir() if path.suffix != ".md"}
    assert found["embedding-in-picture.png"] == PICTURE
    assert found["empty-header.safetensors"] == SAFETENSORS
    assert set(found.values()) <= {PICTURE, SAFETENSORS, TORCH_ZIP, TORCH_LEGACY}


def test_sniffing_a_safetensors_file_imports_neither_numpy_nor_pillow(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    code = (
        "import sys; from sfumato.containers.open import open_model; open_model(sys.argv[1]); "
        "assert not {'numpy', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=True)


def test_a_pickle_whose_first_name_is_a_brace_is_no_safetensors_file(tmp_path: Path) -> None:
    data = pickle.dumps({"{": 1}, 1)
    assert data[8:9] == b"{"
    assert sniff(Source(write(tmp_path / "a", data))) == PICKLE
