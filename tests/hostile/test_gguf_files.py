"""GGUF files that lie: each is refused in one sentence, before memory is asked for."""

from __future__ import annotations

import random
from pathlib import Path
from struct import pack

import pytest

from ggufs import ARRAY, F32, STRING, gguf, key, row, text
from sfumato.containers.gguf import read_gguf
from sfumato.containers.limits import Limits
from sfumato.containers.open import open_model
from sfumato.containers.source import Source
from sfumato.errors import BadFile, Damaged, Unsupported

MOST = (1 << 64) - 1
PLENTY = bytes(1 << 12)


def align(value: int) -> bytes:
    return key("general.alignment", value=pack("<I", value))


def array_of(code: int, count: int, data: bytes = b"") -> bytes:
    return key("k", ARRAY, pack("<IQ", code, count) + data)


HANDCRAFTED = {
    "magic": (gguf(magic=b"FUGG"), "does not begin with GGUF"),
    "version 0": (gguf(version=0), "which does not exist"),
    "version far ahead": (gguf(version=77_777), "which does not exist"),
    "tensors -1": (gguf(counts=(MOST, 0)), "do not fit"),
    "keys -1": (gguf(counts=(0, MOST)), "do not fit"),
    "key length -1": (gguf((), (text("a", MOST),)), "more than"),
    "empty key": (gguf((), (key(""),)), "is empty"),
    "key not UTF-8": (gguf((), (key(b"\xff\xfe"),)), "not UTF-8"),
    "value type": (gguf((), (key("a", 13),)), "has type 13"),
    "array type": (gguf((), (array_of(99, 1),)), "has type 99"),
    "key twice": (gguf((), (key("a"), key("a"))), "stands twice"),
    "alignment 13": (gguf((), (align(13),)), "power of two"),
    "alignment 0": (gguf((), (align(0),)), "power of two"),
    "alignment float": (gguf((), (key("general.alignment", F32),)), "32 bits"),
    "name length -1": (gguf((text("a", MOST),), counts=(1, 0), data=PLENTY), "more than"),
    "name empty": (gguf((row(""),)), "is empty"),
    "name twice": (gguf((row("a"), row("a", offset=32))), "two tensors"),
    "5 dimensions": (gguf((row(dims=(1, 1, 1, 1, 1)),)), "5 dimensions"),
    "2^32 dimensions": (gguf((row(rank=0xFFFFFFFF),), data=PLENTY), "4294967295 dimensions"),
    "size -1": (gguf((row(dims=(MOST, 1)),)), "impossible shape"),
    "product overflow": (gguf((row(dims=(1 << 32, 1 << 32)),)), "impossible shape"),
    "bytes overflow": (gguf((row(dims=(1 << 31, 1 << 31)),)), "the file has"),
    "type": (gguf((row(code=999),)), "ggml type 999"),
    "type given up": (gguf((row(code=4),)), "ggml type 4"),
    "block not filled": (gguf((row(dims=(31, 1), code=2),)), "blocks of 32"),
    "scalar in blocks": (gguf((row(dims=(), code=2),)), "blocks of 32"),
    "offset -1": (gguf((row(offset=MOST),)), "multiple of 32"),
    "offset past the end": (gguf((row(offset=1 << 62),)), "the file has"),
    "offset inside another": (gguf((row("a", (16,)), row("b", (4,), offset=32))), "before it"),
    "offset not aligned": (gguf((row(offset=8),)), "multiple of 32"),
    "alignment contradicts": (gguf((row(), row("b", offset=32)), (align(64),)), "multiple of 64"),
    "not enough data": (gguf((row(),), data=bytes(31)), "incomplete"),
    "memory overflow": (
        gguf((row("a", (0x7FFFFFFFFFFFFFC0,), 24), row("b", (0x7FFFFFFFFFFFFFC0,), 24))),
        "the file has",
    ),
}


@pytest.mark.row(67)
@pytest.mark.parametrize("case", HANDCRAFTED)
def test_every_handcrafted_file_is_refused_and_says_why(tmp_path: Path, case: str) -> None:
    data, reason = HANDCRAFTED[case]
    (tmp_path / "a").write_bytes(data)
    with Source(tmp_path / "a") as source, pytest.raises(BadFile, match=reason):
        read_gguf(source)


@pytest.mark.row(67)
def test_a_size_of_zero_and_a_long_name_are_accepted(tmp_path: Path) -> None:
    name = "conditioner." * 10
    (tmp_path / "a").write_bytes(gguf((row("z", (0, 4)), row(name, (8,)))))
    with open_model(tmp_path / "a") as model:
        assert model["z"].shape == (4, 0)
        assert b"".join(model["z"].chunks()) == b""
        assert "1 of the tensor names" in model.notes[1]


def test_missing_padding_at_the_end_is_noted_since_no_number_is_lost(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gguf((row("a", (3,)),), data=bytes(12)))
    with open_model(tmp_path / "a") as model:
        assert len(model["a"].read()) == 12
        assert "padding after the last one" in model.notes[0]


@pytest.mark.row(68)
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GGUF" + pack(">IQQ", 3, 0, 0), "big-endian GGUF of version 3"),
        (gguf(version=1), "version 1, of August 2023"),
        (gguf(version=4), "version 4; 2 and 3 are read"),
    ],
)
def test_other_versions_are_named(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(Unsupported, match=reason):
        open_model(tmp_path / "a")


@pytest.mark.row(68)
def test_version_2_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gguf((row(),), version=2))
    with open_model(tmp_path / "a") as model:
        assert list(model) == ["a"]


@pytest.mark.row(68)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (array_of(ARRAY, 1, pack("<IQ", ARRAY, 1) * 10_000), "deeper than 8"),
        (array_of(STRING, 1 << 40), "do not fit"),
        (array_of(STRING, 1 << 63), "do not fit"),
        (array_of(0, 1 << 40), "do not fit"),
        (array_of(STRING, 500, text("x", 1 << 40) + PLENTY), "more than the"),
    ],
)
def test_endless_arrays_are_refused(tmp_path: Path, value: bytes, reason: str) -> None:
    (tmp_path / "a").write_bytes(gguf((), (value,)))
    with pytest.raises(Damaged, match=reason):
        open_model(tmp_path / "a")


@pytest.mark.row(68)
def test_more_text_than_metadata_may_have_is_refused(tmp_path: Path) -> None:
    keys = tuple(key(f"k{n}", STRING, text("x" * 900)) for n in range(8))
    (tmp_path / "a").write_bytes(gguf((), keys))
    with pytest.raises(Damaged, match="bytes of text"):
        open_model(tmp_path / "a", limits=Limits(metadata_value=4000))


@pytest.mark.row(67)
def test_no_prefix_and_no_flipped_byte_gives_anything_but_a_sentence(tmp_path: Path) -> None:
    whole = gguf((row("a", (4,)), row("b", (4, 4), 1, 32)), (key("k", STRING, text("v")),))
    chance = random.Random(67)
    path = tmp_path / "a"
    files = [whole[:size] for size in range(len(whole))]
    for _ in range(300):
        bent = bytearray(whole)
        bent[chance.randrange(len(whole) - 64)] ^= 1 << chance.randrange(8)
        files.append(bytes(bent))
    for data in files:
        path.write_bytes(data)
        try:
            read_gguf(Source(path)).close()
        except BadFile as error:
            assert "\n" not in str(error)
