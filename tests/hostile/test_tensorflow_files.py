"""TensorFlow files that lie: bounds are checked before anything is fetched or unpacked."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from sfumato.containers.limits import Limits
from sfumato.containers.open import open_model
from sfumato.containers.source import Source
from sfumato.containers.tensorflow.messages import Extent, slice_key
from sfumato.containers.tensorflow.snappy import decompress
from sfumato.containers.tensorflow.table import Table
from sfumato.containers.tensorflow.wire import WireError, fields
from sfumato.errors import BadFile, Damaged, NotAModel, SfumatoError, Unsupported
from tables import (
    MAGIC,
    beside,
    block,
    entry,
    footer,
    message,
    number,
    shape_message,
    table,
    trailer,
    varint,
    version_1,
    write_bundle,
)

W = np.arange(8, dtype="f4")
HEADER = number(1, 1)


def one_block(content: bytes, sort: int = 0, crc: bytes | None = None) -> bytes:
    """A table whose index points at one block with any content."""
    stored = content + (bytes([sort]) + crc if crc else trailer(content, sort))
    index = block({b"~": varint(0) + varint(len(content))})
    place = varint(len(stored)) + varint(len(index))
    return stored + index + trailer(index) + footer(varint(0) + varint(0) + place)


def with_index(place: bytes) -> bytes:
    """A table whose one index entry says where its block is."""
    index = block({b"~": place})
    where = varint(0) + varint(len(index))
    return index + trailer(index) + footer(varint(0) + varint(0) + where)


HUGE = varint((1 << 64) - 1)
TABLES = {
    "no index": (footer(varint(0) + varint(0)), "reaches past the end"),
    "footer of endless numbers": (b"\xff" * 40 + MAGIC, "more than 64 bits"),
    "footer past the end": (footer(varint(0) + varint(0) + HUGE + varint(9)), "past the end"),
    "place past the end": (with_index(HUGE + varint(9)), "past the end"),
    "place cut off": (with_index(b"\xff"), "ends inside a number"),
    "place empty": (with_index(b""), "ends inside a number"),
    "size of 2^64": (with_index(varint(0) + HUGE), "past the end"),
    "compression 7": (one_block(block({b"a": b"b"}), 7), "compression 7"),
    "checksum": (one_block(block({b"a": b"b"}), 0, b"abcd"), "checksum of the block at 0"),
    "restarts": (one_block(b"\xff\xff\xff\x7f"), "restart points"),
    "empty block": (one_block(b""), "no room"),
    "shared key": (one_block(b"\x09\x01\x01ab" + bytes(8)), "longer than the block"),
    "key length": (one_block(b"\0" + HUGE + b"\1" + bytes(8)), "longer than the block"),
    "value length": (one_block(b"\0\1" + HUGE + b"a" + bytes(8)), "longer than the block"),
    "varint of 11 bytes": (one_block(b"\x80" * 10 + b"\1" + bytes(8)), "more than 64 bits"),
    "unsorted": (one_block(b"\0\1\1bx" + b"\0\1\1ax" + bytes(8)), "not after the one before"),
    "snappy bomb": (one_block(varint(1 << 40) + b"\xfe\1\0" * 50, 1), "says it holds"),
    "snappy cut off": (one_block(varint(40) + b"\xf0", 1), "ends inside a literal"),
    "snappy copies from before": (one_block(varint(40) + b"\xfe\1\0", 1), "bytes ago"),
    "snappy short": (one_block(varint(40) + b"\x00a", 1), "gives 1 bytes"),
    "snappy long": (one_block(varint(3) + b"\x00a\xfe\1\0", 1), "gives 65 bytes"),
}


@pytest.mark.row(71)
@pytest.mark.parametrize("case", TABLES)
def test_a_table_that_lies_is_refused_and_says_where(tmp_path: Path, case: str) -> None:
    data, reason = TABLES[case]
    (tmp_path / "m.index").write_bytes(data)
    with Source(tmp_path / "m.index") as source, pytest.raises(Damaged, match=reason):
        list(Table(source))
    with pytest.raises(Damaged):
        open_model(tmp_path / "m.index")


@pytest.mark.row(71)
def test_without_the_mark_it_is_no_table(tmp_path: Path) -> None:
    data = table({b"": HEADER})
    (tmp_path / "m.index").write_bytes(data[:-1] + b"\0")
    with pytest.raises(NotAModel, match="no format that is known"):
        open_model(tmp_path / "m.index")


@pytest.mark.row(71)
def test_keys_that_share_their_beginnings_cannot_fill_the_memory(tmp_path: Path) -> None:
    first = b"\0" + varint(120_000) + b"\0" + b"k" * 120_000
    more = b"".join(varint(120_000) + b"\2\0" + n.to_bytes(2, "big") for n in range(2000))
    (tmp_path / "m.index").write_bytes(one_block(first + more + bytes(8)))
    with pytest.raises(Damaged, match="bytes of keys"):
        open_model(tmp_path / "m.index")


@pytest.mark.row(71)
def test_a_missing_and_a_short_shard_are_named(tmp_path: Path) -> None:
    index = write_bundle(tmp_path / "m", {"w": W})
    shard = beside(tmp_path / "m", ".data-00000-of-00001")
    shard.write_bytes(W.tobytes()[:-1])
    with pytest.raises(Damaged, match=r"needs bytes up to 32 of m\.data-00000-of-00001"):
        open_model(index)
    shard.unlink()
    with pytest.raises(Damaged, match=r"needs m\.data-00000-of-00001 beside it"):
        open_model(index)


WHOLE = entry(W, 0)
ENTRIES = {
    "shard 9": (number(1, 1) + number(3, 9), "names shard 9"),
    "shard -1": (number(1, 1) + number(3, -1), "names shard -1"),
    "offset -1": (number(1, 1) + number(4, -1) + number(5, 4), "needs bytes up to"),
    "offset 2^62": (number(1, 1) + number(4, 1 << 62) + number(5, 4), "needs bytes up to"),
    "size and shape": (number(1, 1) + number(5, 8), "has 8 bytes, and its shape 4"),
    "size -1": (number(1, 1) + number(5, -1), "has -1 bytes"),
    "negative shape": (number(1, 1) + message(2, shape_message((-3,))), "impossible shape"),
    "unknown shape": (number(1, 1) + message(2, number(3, 1)), "unknown shape"),
    "endless shape": (number(1, 1) + message(2, shape_message((2,)) * 300), "impossible shape"),
    "overflowing shape": (
        number(1, 1) + message(2, shape_message((1 << 62, 1 << 62))),
        "and its shape",
    ),
    "no message": (b"\xff\xff", "ends inside a number"),
    "wire type 3": (b"\x0b", "wire type 3"),
    "length": (b"\x12\x7f", "127 bytes wanted"),
    "number for a message": (number(2, 5), "where a message belongs"),
    "slice missing": (entry(W, 0, slices=((Extent(0, 8),),)), "has no entry"),
    "slice outside": (entry(W, 0, slices=((Extent(4, 8),),)), "has no entry"),
}


@pytest.mark.row(71)
@pytest.mark.parametrize("case", ENTRIES)
def test_an_entry_that_lies_is_refused_and_says_why(tmp_path: Path, case: str) -> None:
    value, reason = ENTRIES[case]
    index = write_bundle(tmp_path / "m", {"a": W}, more={b"w": value})
    with pytest.raises(Damaged, match=reason):
        open_model(index)


@pytest.mark.row(71)
@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (((Extent(4, 8),),), "reaches from 4 to 12 of 8"),
        (((Extent(0, 4),), (Extent(3, 4),)), "do not fill"),
        (((Extent(0, 4),),), "do not fill"),
        (((Extent(), Extent()),), "has 2 dimensions"),
    ],
)
def test_slices_that_do_not_make_up_the_whole_are_refused(
    tmp_path: Path, parts: tuple[tuple[Extent, ...], ...], reason: str
) -> None:
    more = {b"w": entry(W, 0, slices=parts)}
    for part in parts:
        more[slice_key("w", part)] = entry(W[: max(part[0].length, 0) or 8], 0)
    index = write_bundle(tmp_path / "m", {"a": W}, more=more)
    with pytest.raises(Damaged, match=reason):
        open_model(index)


@pytest.mark.row(71)
@pytest.mark.parametrize(
    ("header", "error"),
    [
        (number(1, 0), Damaged),
        (number(1, 1 << 40), Damaged),
        (number(1, 1) + number(2, 1), Unsupported),
        (b"\xff", Damaged),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: bytes, error: type[BadFile]) -> None:
    index = write_bundle(tmp_path / "m", {}, more={b"": header})
    with pytest.raises(error):
        open_model(index)


@pytest.mark.row(71)
def test_version_1_that_lies_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    one = message(1, message(1, b"w") + message(2, shape_message((1 << 40,))) + number(3, 1))
    path.write_bytes(table({b"": message(1, one)}))
    with pytest.raises(Damaged, match="more than fits"):
        open_model(path)
    path.write_bytes(version_1({"w": W}, {"w": message(4, b"short")}))
    with open_model(path) as model, pytest.raises(Damaged, match="5 bytes for 8 F32"):
        model["w"].read()


@pytest.mark.row(71)
def test_more_tensors_than_the_limit_are_refused(tmp_path: Path) -> None:
    index = write_bundle(tmp_path / "m", {f"w{n}": W for n in range(9)})
    with pytest.raises(Damaged, match="more than 5 tensors"):
        open_model(index, limits=Limits(tensors=5))


@pytest.mark.row(71)
def test_a_message_has_a_last_field() -> None:
    assert list(fields(number(3, 7) + message(4, b"x"))) == [(3, 7), (4, b"x")]
    for bad in (b"\x00\x00", b"\x08", b"\x0d\0\0", b"\x0f"):
        with pytest.raises(WireError):
            list(fields(bad))
    with pytest.raises(WireError):
        decompress(b"", 10)


@pytest.mark.row(71)
def test_no_flipped_byte_gives_anything_but_a_sentence(tmp_path: Path) -> None:
    index = write_bundle(tmp_path / "m", {"w": W, "v": W})
    whole, chance = index.read_bytes(), random.Random(71)
    old = version_1({"w": W})
    for number_ in range(300):
        bent = bytearray(whole if number_ % 2 else old)
        bent[chance.randrange(len(bent))] ^= 1 << chance.randrange(8)
        index.write_bytes(bytes(bent))
        try:
            with open_model(index) as model:
                for tensor in model.values():
                    tensor.read()
        except SfumatoError as error:
            assert "\n" not in str(error)
