"""TensorFlow checkpoints: both versions are read, whichever of their files is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sfumato.containers.arrays import array
from sfumato.containers.model_file import TENSORFLOW_V1, TENSORFLOW_V2
from sfumato.containers.open import open_model
from sfumato.containers.source import Source
from sfumato.containers.tensorflow.crc import crc32c, masked
from sfumato.containers.tensorflow.messages import Extent, ordered, slice_key
from sfumato.containers.tensorflow.snappy import decompress
from sfumato.containers.tensorflow.table import Table
from sfumato.containers.tensorflow.wire import WireError
from sfumato.errors import Damaged, Unreadable
from tables import (
    CODES,
    Array,
    beside,
    block,
    entry,
    message,
    number,
    shape_message,
    table,
    varint,
    version_1,
    write_bundle,
)

RNG = np.random.default_rng(0)
ARRAYS: dict[str, Array] = {
    "model/conv/kernel": RNG.standard_normal((3, 3, 4, 8)).astype("f4"),
    "model/conv/bias": RNG.standard_normal(8).astype("f2"),
    "global_step": np.array(1000, "i8"),
    "mask": np.array([[True, False]]),
    "model/empty": np.zeros((0, 3), "f8"),
}


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # RFC 3720, B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_checksums_are_those_of_castagnoli(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc


def test_a_masked_checksum_is_turned_and_shifted() -> None:
    assert masked(0) == 0xA282EAD8
    assert masked(crc32c(b"foo")) != crc32c(b"foo")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0, "80"), (1, "81"), (63, "bf"), (64, "c040"), (-1, "7f"), (-64, "40"), (-65, "3fbf"),
        (2**31 - 1, "f87fffffff"), (2**31, "f880000000"), (-(2**31), "0780000000"),
        (2**63 - 1, "ffc07fffffffffffffff"), (-(2**63), "003f8000000000000000"),
    ],
)  # fmt: skip
def test_ordered_numbers_have_the_codes_that_tensorflow_gives_them(value: int, code: str) -> None:
    assert ordered(value).hex() == code


def test_the_key_of_a_slice() -> None:
    part = (Extent(), Extent(1, 3))
    assert slice_key("a/b", part).hex() == "00" + b"a/b".hex() + "0001" + "0102" + "807f" + "8183"


@pytest.mark.parametrize("size", [0, 1, 59, 60, 61, 300, 70_000])
def test_snappy_undoes_what_another_program_packs(size: int) -> None:
    cramjam = pytest.importorskip("cramjam")
    for data in (bytes(size), RNG.bytes(size), (b"abcabcd" * size)[:size], bytes(size // 2) * 2):
        assert decompress(bytes(cramjam.snappy.compress_raw(data)), 1 << 20) == data


@pytest.mark.parametrize("snappy", [False, True])
@pytest.mark.parametrize("shards", [1, 3])
def test_all_variables_of_a_checkpoint_are_read(tmp_path: Path, shards: int, snappy: bool) -> None:
    prefix = tmp_path / "model.ckpt-1000"
    write_bundle(prefix, ARRAYS, shards=shards, snappy=snappy)
    with open_model(prefix) as model:
        assert model.container == TENSORFLOW_V2
        assert set(model) == set(ARRAYS)
        for name, values in ARRAYS.items():
            assert model[name].shape == values.shape
            assert np.array_equal(array(model[name]), values)
            assert b"".join(model[name].chunks()) == values.tobytes()


@pytest.mark.parametrize("ending", ["", ".index", ".data-00000-of-00001"])
def test_any_file_of_a_checkpoint_names_it(tmp_path: Path, ending: str) -> None:
    prefix = tmp_path / "model.ckpt"
    write_bundle(prefix, ARRAYS)
    beside(prefix, ".meta").write_bytes(b"graph")
    with open_model(beside(prefix, ending)) as model:
        assert len(model) == len(ARRAYS)
        assert model.notes == ("the graph of the network is in model.ckpt.meta, which is not read",)
        assert model.size == sum(p.stat().st_size for p in tmp_path.iterdir()) - 5


def test_a_divided_variable_is_put_together(tmp_path: Path) -> None:
    whole = np.arange(24, dtype="f4").reshape(4, 6)
    parts = {(Extent(), Extent(0, 2)): whole[:, :2], (Extent(), Extent(2, 4)): whole[:, 2:]}
    prefix, data, more = tmp_path / "m", b"", {b"w": entry(whole, 0, slices=tuple(parts))}
    for part, values in parts.items():
        more[slice_key("w", part)] = entry(values, len(data))
        data += values.tobytes()
    index = write_bundle(prefix, {}, more=more)
    beside(prefix, ".data-00000-of-00001").write_bytes(data)
    with open_model(index) as model:
        assert list(model) == ["w"]
        assert np.array_equal(array(model["w"]), whole)


def test_texts_and_resources_are_listed(tmp_path: Path) -> None:
    more = {
        b"_CHECKPOINTABLE_OBJECT_GRAPH": number(1, 7) + message(2, b""),
        b"handle": number(1, 20) + message(2, shape_message((2,))),
    }
    with open_model(write_bundle(tmp_path / "m", ARRAYS, more=more)) as model:
        assert len(model) == len(ARRAYS)
        assert model.extras["_CHECKPOINTABLE_OBJECT_GRAPH"] == "text [], not read"
        assert model.extras["handle"] == "resource [2], not read"
        assert "2 entries" in model.notes[0]


def test_a_name_with_no_checkpoint_behind_it_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="No such file"):
        open_model(tmp_path / "model.ckpt-7")


def test_version_1_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(version_1(ARRAYS))
    with open_model(tmp_path / "model.ckpt") as model:
        assert model.container == TENSORFLOW_V1
        assert set(model) == set(ARRAYS)
        assert all(np.array_equal(array(model[name]), values) for name, values in ARRAYS.items())


@pytest.mark.parametrize(
    ("values", "proto"),
    [
        (np.array([0.5, -2], "f4"), message(5, np.array([0.5, -2], "<f4").tobytes())),
        (np.array([0.5], "f4"), b"\x2d" + np.array([0.5], "<f4").tobytes()),
        (np.array([0.5], "f8"), message(6, np.array([0.5], "<f8").tobytes())),
        (np.array([3, -4], "i4"), message(7, varint(3) + varint(-4))),
        (np.array([3, -4], "i1"), message(7, varint(3) + varint(-4))),
        (np.array([-1, 9], "i8"), message(10, varint(-1) + varint(9))),
        (np.array([7], "i8"), number(10, 7)),
        (np.array([True, False]), message(11, b"\1\0")),
        (np.array([1.5], "f2"), message(13, varint(0x3E00))),
    ],
)
def test_numbers_of_version_1_may_be_spelled_out(
    tmp_path: Path, values: Array, proto: bytes
) -> None:
    (tmp_path / "a.ckpt").write_bytes(version_1({"w": values}, {"w": proto}))
    with open_model(tmp_path / "a.ckpt") as model:
        assert np.array_equal(array(model["w"]), values)


def test_a_table_finds_every_key_and_no_other(tmp_path: Path) -> None:
    entries = {f"key {n:03d}".encode(): bytes([n]) for n in range(50)}
    (tmp_path / "a").write_bytes(table(entries, per_block=7))
    found = Table(Source(tmp_path / "a"))
    assert dict(found) == entries
    assert all(found.get(key) == value for key, value in entries.items())
    assert found.get(b"key 0005") is None and found.get(b"z") is None


def test_a_wrong_checksum_of_a_small_tensor_is_seen_when_it_is_read(tmp_path: Path) -> None:
    index = write_bundle(tmp_path / "m", {"w": np.ones(4, "f4")})
    beside(tmp_path / "m", ".data-00000-of-00001").write_bytes(bytes(16))
    with open_model(index) as model, pytest.raises(Damaged, match="checksum of w"):
        model["w"].read()


def test_blocks_share_the_beginnings_of_keys() -> None:
    packed = block({b"model/a": b"1", b"model/b": b"2"}, restart=16)
    assert packed.count(b"model/") == 1
    assert set(CODES.values()) <= set(range(1, 24))
    with pytest.raises(WireError):
        decompress(varint(1 << 40) + b"\0a", 1 << 20)
