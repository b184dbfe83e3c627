"""The zip reader agrees with other programs on honest archives."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfumato.containers.limits import DEFAULT
from sfumato.containers.source import Source
from sfumato.containers.tensor import CHUNK
from sfumato.containers.torch.archive import Archive, read_archive, wrong_checksums
from sfumato.containers.torch.inflate import Inflated

WORDS = st.text("abcdefghijklmnopqrstuvwxyzäλ0123456789_- ", min_size=1, max_size=12)


def archive(path: Path, data: bytes) -> Archive:
    path.write_bytes(data)
    return read_archive(Source(path))


def contents(found: Archive) -> dict[str, bytes]:
    return {entry.name: found.read(entry, DEFAULT.pickle_bytes) for entry in found.entries}


@given(st.dictionaries(WORDS, st.binary(max_size=300), max_size=6), st.sampled_from([0, 8]))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_zipfile_writes_reads_back(
    tmp_path: Path, files: dict[str, bytes], method: int
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as writer:
        for name, data in files.items():
            writer.writestr(name, data)
    if not files:
        return
    found = archive(tmp_path / "a.zip", buffer.getvalue())
    assert not found.faults and not found.notes
    assert contents(found) == files


class Pipe(io.RawIOBase):
    """A sink that cannot seek, which makes zipfile write the sizes behind the data."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += memoryview(data)  # type: ignore[arg-type]
        return len(memoryview(data))  # type: ignore[arg-type]


def test_a_streamed_archive_reads_back(tmp_path: Path) -> None:
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("a", b"x" * 5000)
        writer.writestr("b", b"")
    found = archive(tmp_path / "a.zip", bytes(pipe.data))
    assert not found.faults
    assert contents(found) == {"a": b"x" * 5000, "b": b""}


def test_an_archive_with_64_bit_fields_reads_back(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "a.zip", "w") as writer,
        writer.open("a", "w", force_zip64=True) as member,
    ):
        member.write(b"hello")
    found = read_archive(Source(tmp_path / "a.zip"))
    assert not found.faults
    assert contents(found) == {"a": b"hello"}


def test_what_torch_writes_is_without_fault(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(5), "b": torch.zeros(100)}, tmp_path / "a.pt")
    found = read_archive(Source(tmp_path / "a.pt"))
    assert not found.faults and not found.notes
    assert contents(found)["a/data/0"] == torch.arange(5).numpy().tobytes()


def test_real_torch_files_are_without_fault(real: Path) -> None:
    paths = [path for path in sorted(real.iterdir()) if path.suffix in (".pt", ".pth", ".bin")]
    assert len(paths) >= 8
    for path in paths:
        found = read_archive(Source(path))
        assert not found.faults and not found.notes, path.name
        assert not list(wrong_checksums(Source(path))), path.name


def test_a_wrong_checksum_is_noted_and_found(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(5)}, tmp_path / "a.pt")
    data = (tmp_path / "a.pt").read_bytes()
    numbers = torch.arange(5).numpy().tobytes()
    found = archive(tmp_path / "b.pt", data.replace(numbers, b"\1" + numbers[1:]))
    assert not found.faults
    assert list(wrong_checksums(Source(tmp_path / "b.pt"))) == ["a/data/0"]
    contents(found)
    assert found.notes == ["the checksum of the member a/data/0 does not match"]


@pytest.mark.parametrize("offset", [0, 1, CHUNK - 1, CHUNK + 5])
def test_a_packed_member_reads_in_whole_pieces(tmp_path: Path, offset: int) -> None:
    data = bytes(range(256)) * (2 * CHUNK // 256) + b"the end"
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as writer:
        writer.writestr("a", data)
    found = read_archive(Source(tmp_path / "a.zip"))
    region = found.region(found.entries[0])
    assert isinstance(region, Inflated)
    pieces = list(region.chunks(offset, len(data) - offset))
    assert b"".join(pieces) == data[offset:]
    assert all(len(piece) == CHUNK for piece in pieces[:-1])
    assert region.read(offset, 9) == data[offset : offset + 9]
