"""The hashes of a file, against definitions written out and files that other programs made."""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from sfumato.containers.dtype import F16, F32, I64, DType
from sfumato.containers.hashes import (
    EMPTY,
    MIB,
    WINDOW,
    Hashes,
    embedding_checksum,
    hash_file,
    hash_tensors,
    payload_start,
)
from sfumato.containers.source import Source
from sfumato.containers.tensor import CHUNK, Tensor
from sfumato.errors import Damaged, Unreadable


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def noise(size: int) -> bytes:
    return np.random.default_rng(7).bytes(size)


def tensor(values: np.ndarray, dtype: DType = F32) -> Tensor:
    data = values.tobytes()
    return Tensor(dtype, values.shape, lambda: data)


def test_whole_file_hashes_are_those_of_the_libraries(tmp_path: Path) -> None:
    data = noise(CHUNK + 12345)
    found = hash_file(written(tmp_path / "a", data))
    assert found.size == len(data)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.blake3 == blake3(data).hexdigest()
    assert found.crc32 == f"{zlib.crc32(data):08x}"
    assert found.autov2 == found.sha256[:10]


def test_the_short_hash_covers_64_kib_at_1_mib(tmp_path: Path) -> None:
    data = noise(2 * MIB)
    found = hash_file(written(tmp_path / "a", data))
    assert found.autov1 == hashlib.sha256(data[MIB : MIB + WINDOW]).hexdigest()[:8]
    cut = hash_file(written(tmp_path / "b", data[: MIB + 5]))
    assert cut.autov1 == hashlib.sha256(data[MIB : MIB + 5]).hexdigest()[:8]


@pytest.mark.parametrize("size", [0, 1, 10, MIB])
def test_every_file_of_1_mib_or_less_has_the_empty_short_hash(tmp_path: Path, size: int) -> None:
    assert hash_file(written(tmp_path / "a", bytes(size))).autov1 == EMPTY


def test_the_quick_hash_takes_three_windows_or_the_whole_of_a_small_file(tmp_path: Path) -> None:
    data = noise(3 * MIB)
    middle, last = len(data) // 2, len(data) - MIB
    parts = b"".join(data[at : at + WINDOW] for at in (MIB, middle, last))
    assert hash_file(written(tmp_path / "a", data)).quick == hashlib.sha256(parts).hexdigest()
    small = hash_file(written(tmp_path / "b", data[:-1]))
    assert small.quick == small.sha256


def test_autov3_begins_after_a_safetensors_header_and_survives_another_header(
    tmp_path: Path,
) -> None:
    payload = noise(CHUNK)
    headers = (b"{}      ", b'{"__metadata__":{"title":"other"}}')
    first, second = (
        hash_file(written(tmp_path / str(n), struct.pack("<Q", len(h)) + h + payload))
        for n, h in enumerate(headers)
    )
    assert first.payload == second.payload == hashlib.sha256(payload).hexdigest()
    assert first.sha256 != second.sha256
    assert first.autov3 == first.payload[:12]


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80\x02}q\x00.", b"PK\x03\x04" + bytes(40), struct.pack("<Q", 2**63) + b"{}xx",
     struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 2) + b"[]data", b"\x00" * 64],
)  # fmt: skip
def test_what_has_no_safetensors_header_or_nothing_after_it_has_no_autov3(
    tmp_path: Path, data: bytes
) -> None:
    with Source(written(tmp_path / "a", data)) as source:
        assert payload_start(source) is None
    assert hash_file(tmp_path / "a").payload == ""


def test_real_files_have_their_published_hashes(real: Path) -> None:
    easy = hash_file(real / "embedding-EasyNegative.safetensors")
    assert easy.autov2 == "c74b4e810b"
    assert hash_file(real / "vae-approx.pt").sha256.startswith("4f88c9078bb2238cdd0d8864671dd33e")


def test_progress_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = written(tmp_path / "a", bytes(CHUNK + 1))
    hash_file(path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(CHUNK, CHUNK + 1), (CHUNK + 1, CHUNK + 1)]


@pytest.mark.row(7)
def test_a_folder_and_a_missing_file_cannot_be_hashed(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        hash_file(tmp_path)
    with pytest.raises(Unreadable):
        hash_file(tmp_path / "nowhere")


@pytest.mark.row(72)
@pytest.mark.parametrize("size", [10, 3 * CHUNK])
def test_a_file_that_changes_while_it_is_hashed_is_reported(tmp_path: Path, size: int) -> None:
    path = written(tmp_path / "a", bytes(2 * CHUNK))

    def meddle(done: int, total: int) -> None:
        with path.open("r+b") as file:
            file.truncate(size)

    with pytest.raises(Damaged):
        hash_file(path, progress=meddle)


def test_the_tensor_hash_ignores_order_and_sees_names_types_shapes_and_numbers() -> None:
    a, b = np.arange(6, dtype="<f4"), np.ones(3, "<f4")
    base = hash_tensors({"a": tensor(a), "b": tensor(b)})
    assert hash_tensors({"b": tensor(b), "a": tensor(a)}) == base
    others = (
        {"a": tensor(a), "c": tensor(b)},
        {"a": tensor(a.reshape(2, 3)), "b": tensor(b)},
        {"a": tensor(a), "b": tensor(b + 1)},
        {"a": tensor(a), "b": tensor(b.view("<i4"), I64)},
        {"a": tensor(a)},
    )
    assert len({base, *(hash_tensors(other) for other in others)}) == 6


def test_the_tensor_hash_is_what_its_definition_says() -> None:
    values = np.arange(4, dtype="<f2")
    inner = hashlib.sha256(values.tobytes()).hexdigest()
    line = f'["é", "F16", [2, 2], "{inner}"]\n'.replace("é", "\\u00e9")
    found = hash_tensors({"é": tensor(values.reshape(2, 2), F16)})
    assert found == hashlib.sha256(line.encode("ascii")).hexdigest()


def test_the_embedding_checksum_follows_a1111(real: Path) -> None:
    def expected(values: np.ndarray) -> str:
        r = 0
        for v in values.astype("f4") * np.float32(100):
            r = (r * 281 ^ int(v) * 997) & 0xFFFFFFFF
        return f"{r & 0xFFFF:04x}"

    values = np.random.default_rng(3).normal(size=768).astype("<f4")
    assert embedding_checksum(tensor(values)) == expected(values)
    assert embedding_checksum(tensor(values.astype("<f2"), F16)) == expected(values.astype("<f2"))
    # 0.29 in single precision, times 100 in single precision, is 29; in double it is 28.999…
    assert embedding_checksum(tensor(np.array([0.29], "<f4"))) == f"{29 * 997 & 0xFFFF:04x}"


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_an_embedding_that_is_not_finite_has_no_checksum(bad: float) -> None:
    assert embedding_checksum(tensor(np.array([1, bad], "<f4"))) == ""


def test_named_hashes_leave_out_what_is_not_known() -> None:
    assert Hashes(sha256="ab" * 32).named() == {"SHA-256": "ab" * 32, "AutoV2": "ab" * 5}


def test_the_tensor_hash_survives_a_change_of_container(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    from sfumato.containers.safetensors.read import read_safetensors
    from sfumato.containers.torch.legacy import read_torch_legacy
    from sfumato.containers.torch.zip_file import read_torch_zip

    readers = (
        ("zip.ckpt", read_torch_zip),
        ("legacy.pt", read_torch_legacy),
        ("new.safetensors", read_safetensors),
    )
    state = {
        "b.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
        "a.position_ids": torch.arange(7),
        "a.half": torch.ones(2, 3, dtype=torch.float16),
        "a.brain": torch.ones(5, dtype=torch.bfloat16),
    }
    torch.save({"state_dict": state, "global_step": 7}, tmp_path / "zip.ckpt")
    torch.save(state, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "new.safetensors", {"title": "x"})
    found: set[str] = set()
    for name, read in readers:
        with read(Source(tmp_path / name)) as model:
            found.add(hash_tensors(model))
    assert len(found) == 1
