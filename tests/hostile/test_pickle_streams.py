"""Hostile pickle streams: each ends in an answer, and nothing in it happens or goes unseen."""

from __future__ import annotations

import pickle as cpython
import struct
import time
from pathlib import Path

import pytest

import opcodes as op
from opcodes import refused, storage, walk
from sfumato.catalogue.cards.inspect import inspect
from sfumato.catalogue.cards.json_form import to_json
from sfumato.containers.limits import Limits
from sfumato.containers.pickles.machine import EndsEarly
from sfumato.containers.pickles.values import Record
from sfumato.errors import Damaged

# ── what kills or starves CPython's own unpickler ─────────────────────────────────────────────────


@pytest.mark.row(34)
def test_a_deep_tuple_as_a_key_is_refused_without_hashing_it() -> None:
    stream = b"}" + b")" + b"\x85" * 1_000_000 + b"Ns."
    with pytest.raises(Damaged, match="a key is a tuple"):
        walk(stream)


@pytest.mark.row(35)
def test_a_tuple_that_shares_itself_is_no_key_either() -> None:
    doubling = b"".join(b"2\x86" for _ in range(64))
    with pytest.raises(Damaged, match="a key is a tuple"):
        walk(op.pickle(b"}", op.EMPTY_TUPLE, doubling, b"Ns"))
    with pytest.raises(Damaged, match="a key is a tuple"):
        walk(op.pickle4(op.EMPTY_SET, op.MARK, op.EMPTY_TUPLE, doubling, op.ADDITEMS))


@pytest.mark.row(36)
@pytest.mark.parametrize(
    "stream",
    [
        b")" + b"\x85" * 1_000_000 + b".",
        b"]" * 900_000 + b"a" * 899_999 + b".",
        b"}K\0" * 400_000 + b"N" + b"s" * 400_000 + b".",
        b"(" * 400_000 + b"t" * 400_000 + b".",
    ],
    ids=["tuples", "lists", "dictionaries", "marks"],
)
def test_a_million_values_inside_each_other_are_too_deep(stream: bytes) -> None:
    with pytest.raises(Damaged, match=r"nested more than 128 deep"):
        walk(stream)


@pytest.mark.row(36)
def test_more_values_than_the_stack_may_hold_are_refused() -> None:
    with pytest.raises(Damaged, match="more than 1000000 stacked values"):
        walk(b"(" * 2_000_000 + b".")


@pytest.mark.row(36)
@pytest.mark.parametrize(
    "stream",
    [
        op.pickle(b"]", op.put(0), op.get(0), b"a"),
        op.pickle(b"}", op.put(0), op.text("me"), op.get(0), b"s"),
        op.pickle(b"]", op.put(0), op.get(0), op.TUPLE1, op.TUPLE1, b"a"),
    ],
    ids=["list", "dictionary", "tuples in a list"],
)
def test_a_container_that_holds_itself_is_refused(stream: bytes) -> None:
    with pytest.raises(Damaged, match="holds itself"):
        walk(stream)


def test_an_object_may_lead_back_to_its_parent() -> None:
    node = op.global_("omegaconf.dictconfig", "DictConfig") + op.EMPTY_TUPLE + op.NEWOBJ
    value, journal = walk(
        op.pickle(node, op.put(0), b"}", op.text("_parent"), op.get(0), b"s", op.BUILD)
    )
    assert isinstance(value, Record) and not journal.dangerous


@pytest.mark.row(37)
@pytest.mark.parametrize("width", [2, 10])
def test_laughs_by_the_billion_are_read_in_no_time(width: int) -> None:
    laughs = b"".join(
        b"](" + op.get(level) * width + b"e" + op.put(level + 1) for level in range(60)
    )
    value, _ = walk(op.pickle(op.text("ha"), op.put(0), laughs))
    assert len(value) == width


@pytest.mark.row(37)
def test_laughs_by_the_billion_are_inspected_in_no_time(tmp_path: Path) -> None:
    laughs = b"".join(b"](" + op.get(n) * 10 + b"e" + op.put(n + 1) for n in range(30))
    path = tmp_path / "laughs.pkl"
    path.write_bytes(op.pickle(op.text("ha"), op.put(0), laughs))
    card = inspect(path)
    assert card.verdict == "damaged" and len(str(to_json(card))) < 5000


@pytest.mark.row(37)
def test_laughs_in_ordered_dictionaries_are_read_in_no_time() -> None:
    dictionary = op.global_("collections", "OrderedDict") + op.EMPTY_TUPLE + op.REDUCE
    levels = b"".join(
        dictionary + b"(" + b"".join(op.text(key) + op.get(level) for key in "ab") + b"u"
        + op.put(level + 1)
        for level in range(60)
    )  # fmt: skip
    value, journal = walk(op.pickle(op.text("ha"), op.put(0), levels))
    assert set(value) == {"a", "b"} and not journal.dangerous


def test_copying_one_long_text_again_and_again_is_stopped() -> None:
    encode = op.global_("_codecs", "encode") + op.put(0) + b"0"
    copied = op.get(0) + op.get(1) + op.REDUCE
    stream = op.pickle(
        encode, op.text("x" * 1_000_000), op.text("latin1"), op.TUPLE2, op.put(1), copied * 1000
    )
    with pytest.raises(Damaged, match="until the memory is full"):
        walk(stream)


# ── operands that lie ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.row(38)
@pytest.mark.parametrize("index", [2**31 - 1, 2**32 - 1])
def test_a_memo_index_costs_no_memory(index: int) -> None:
    assert walk(op.pickle(op.NONE, op.long_put(index)))[0] is None
    assert walk(b"Np%d\n." % index)[0] is None


@pytest.mark.row(38)
@pytest.mark.parametrize(
    "stream",
    [b"Np-1\n.", b"Np1_0\n.", b"Np\n.", b"Np" + b"9" * 30 + b"\n.", b"Ng0\n.", op.pickle(b"h\7"),
     op.pickle(b"j\7\0\0\0"), b"g-1\n.", b"gx\n."],
)  # fmt: skip
def test_memo_indices_that_are_none_or_were_never_stored_are_damage(stream: bytes) -> None:
    with pytest.raises(Damaged, match="memo entry"):
        walk(stream)


@pytest.mark.row(39)
@pytest.mark.parametrize("code", [b"\x8d", b"\x8e", b"\x96", b"\x95"])
@pytest.mark.parametrize("length", [2**62, 2**64 - 1, 2**40, 100])
def test_lengths_are_held_against_what_is_left(code: bytes, length: int) -> None:
    with pytest.raises(EndsEarly, match="bytes more than there are"):
        walk(op.proto(4) + code + struct.pack("<Q", length) + b"abc.")


@pytest.mark.row(39)
@pytest.mark.parametrize("code", [b"X", b"B", b"T", b"\x8b"])
@pytest.mark.parametrize("length", [2**31 - 1, 2**32 - 1, 100])
def test_shorter_lengths_are_held_against_what_is_left(code: bytes, length: int) -> None:
    with pytest.raises(Damaged, match=r"more than there are|bytes"):
        walk(op.proto(3) + code + struct.pack("<I", length) + b"abc.")


@pytest.mark.row(40)
@pytest.mark.parametrize(
    "digits", [b"9" * 1_000_000, b"1_000", b"0x10", b"0b1", b" 1", b"1 ", b"", b"1e3", b"--1"]
)
def test_whole_numbers_are_plain_decimals(digits: bytes) -> None:
    for stream in (b"I" + digits + b"\n.", b"L" + digits + b"L\n."):
        with pytest.raises(Damaged, match=r"whole number|digits|line of more"):
            walk(stream)


@pytest.mark.row(40)
def test_a_number_of_thousands_of_bytes_is_not_read() -> None:
    with pytest.raises(Damaged, match="a number of 255 bytes"):
        walk(op.pickle(b"\x8a\xff" + b"\1" * 255))
    with pytest.raises(Damaged, match="a number of 100000 bytes"):
        walk(op.pickle(b"\x8b" + struct.pack("<i", 100_000) + b"\1" * 100_000))
    with pytest.raises(Damaged, match="-1 bytes"):
        walk(op.pickle(b"\x8b" + struct.pack("<i", -1)))


@pytest.mark.parametrize("digits", [b"1_0", b"0x1p3", b" 1", b"nan0", b"", b"1" * 500, b"1,5"])
def test_floats_are_written_as_floats(digits: bytes) -> None:
    with pytest.raises(Damaged):
        walk(b"F" + digits + b"\n.")


# ── streams that are only broken ──────────────────────────────────────────────────────────────────

NEEDS = {
    b".": 1, b"0": 1, b"2": 1, b"R": 2, b"a": 2, b"b": 2, b"s": 3, b"\x81": 2, b"\x85": 1,
    b"\x86": 2, b"\x87": 3, b"\x92": 3, b"\x93": 2, b"\x94": 1, b"Q": 1, b"p0\n": 1, b"q\0": 1,
    b"r\0\0\0\0": 1,
}  # fmt: skip
"""opcode → values it takes from the stack"""

NEED_MARK = [b"1", b"d", b"e", b"l", b"o", b"t", b"u", b"ia\nb\n", b"\x90", b"\x91"]


@pytest.mark.row(41)
@pytest.mark.parametrize(("code", "needs"), NEEDS.items())
def test_an_opcode_without_its_values_is_damage(code: bytes, needs: int) -> None:
    after = b"" if code == b"." else b"N."
    for count in range(needs):
        for below in (b"", b"N(")[: 1 if code == b"0" else 2]:  # POP takes a mark as well
            with pytest.raises(Damaged):
                walk(below + b"N" * count + code + after)


@pytest.mark.row(41)
@pytest.mark.parametrize("code", NEED_MARK)
@pytest.mark.parametrize("before", [b"", b"N", b"]N", b"}NN", b"\x8f"])
def test_an_opcode_without_its_mark_is_damage(code: bytes, before: bytes) -> None:
    with pytest.raises(Damaged):
        walk(before + code + b".")


@pytest.mark.row(41)
@pytest.mark.parametrize("code", [b"o", b"e", b"u", b"\x90"])
def test_an_opcode_with_nothing_around_its_mark_is_damage(code: bytes) -> None:
    with pytest.raises(Damaged):
        walk(b"(" + code + b".")


OPERANDS = [
    b"B\3\0\0\0abc", b"C\3abc", b"F1.5\n", b"G\0\0\0\0\0\0\0\0", b"I12\n", b"J\1\0\0\0", b"K\1",
    b"L12L\n", b"M\1\0", b"S'abc'\n", b"T\3\0\0\0abc", b"U\3abc", b"Vabc\n", b"X\3\0\0\0abc",
    b"cos\nsystem\n", b"(ios\nsystem\n", b"Np12\n", b"Nq\1", b"Nr\1\0\0\0", b"\x80\2",
    b"\x82\1", b"\x83\1\0", b"\x84\1\0\0\0", b"\x8a\1\1", b"\x8b\1\0\0\0\1", b"\x8c\3abc",
    b"\x8d\3\0\0\0\0\0\0\0abc", b"\x8e\3\0\0\0\0\0\0\0abc", b"\x96\3\0\0\0\0\0\0\0abc", b"Pid\n",
]  # fmt: skip


@pytest.mark.row(41)
@pytest.mark.parametrize("code", OPERANDS)
def test_a_stream_cut_off_in_an_operand_ends_early(code: bytes) -> None:
    skipped = 1 if code[:1] in b"N(" else 0
    for length in range(skipped, len(code)):
        with pytest.raises(EndsEarly):
            walk(code[:length], persistent=storage)


@pytest.mark.row(41)
@pytest.mark.parametrize("protocol", range(6))
def test_every_beginning_of_an_honest_stream_ends_early(protocol: int) -> None:
    stream = cpython.dumps({"a": [1, 2.5, "text", b"bytes", (None, True)]}, protocol)
    for length in range(len(stream)):
        with pytest.raises(Damaged):
            walk(stream[:length])


@pytest.mark.row(41)
@pytest.mark.parametrize(
    "operand",
    [b"", b"'", b'"', b"' ", b"'  ", b"'\"", b"' \"", b"\"'", b" ''", b"'' ", b"abc", b"'abc",
     b"abc'", b"'\\x4'", b"'a\\'", b"'\\x'"],
)  # fmt: skip
def test_a_badly_quoted_string_is_damage(operand: bytes) -> None:
    with pytest.raises(Damaged, match="string"):
        walk(b"S" + operand + b"\n.")


@pytest.mark.row(42)
@pytest.mark.parametrize(
    "stream",
    [
        op.frame(2) + b"B\7\1\0\0" + b"cos\nsystem\n" + b"x" * 300,
        op.frame(1) + b"K\1.",
        op.frame(3) + b"Vabc\n.",
        op.frame(4) + b"cos\nsystem\n.",
        op.frame(5) + b"X\3\0\0\0abc.",
        op.frame(3) + b"\x8a\4\1\1\1\1.",
        op.frame(4) + b"G\0\0\0\0\0\0\0\0.",
    ],
    ids=["bytes", "number", "line", "global", "text", "long", "float"],
)
def test_no_opcode_crosses_the_end_of_its_frame(stream: bytes) -> None:
    with pytest.raises(Damaged, match="crosses the end of its frame"):
        walk(op.proto(4) + stream)


@pytest.mark.row(42)
def test_frames_neither_nest_nor_outlast_the_stream() -> None:
    with pytest.raises(Damaged, match="a frame inside a frame"):
        walk(op.proto(4) + op.framed(op.framed(b"N.")))
    with pytest.raises(EndsEarly, match="more than there are"):
        walk(op.proto(4) + op.frame(1000) + b"N.")
    with pytest.raises(Damaged, match="stops before the end of its frame"):
        walk(op.proto(4) + op.framed(b"N." + b"cos\nsystem\n"))
    with pytest.raises(EndsEarly, match="without STOP"):
        walk(op.proto(4) + op.framed(b"N"))


@pytest.mark.row(43)
@pytest.mark.parametrize("number", [6, 9, 128, 255])
def test_a_protocol_nobody_wrote_is_damage(number: int) -> None:
    with pytest.raises(Damaged, match=f"uses protocol {number}"):
        walk(op.proto(number) + b"N.")


@pytest.mark.row(43)
@pytest.mark.parametrize("stream", [b"N0\x80\2N.", b"\x80\2\x80\2N.", b"\x80\2N\x80\4."])
def test_a_protocol_in_the_middle_is_damage_but_hides_nothing(stream: bytes) -> None:
    with pytest.raises(Damaged, match="names its protocol in the middle"):
        walk(stream)
    assert refused(stream[:-1] + b"0" + op.SYSTEM + b".") == ["os.system"]


@pytest.mark.row(44)
@pytest.mark.parametrize("code", [b"\0", b"\xff", b"\x99", b"Z", b"\n", b"X\x3e\x0a\x66\x20ab"])
def test_what_ran_before_the_damage_is_reported(code: bytes) -> None:
    with pytest.raises(Damaged) as error:
        walk(op.pickle(op.SYSTEM)[:-1] + code)
    assert error.value.journal is not None
    assert error.value.journal.names("refused") == ["os.system"]


@pytest.mark.row(44)
def test_the_byte_and_its_offset_are_named() -> None:
    with pytest.raises(Damaged, match=r"toy.pkl: toy: has the byte 0xff .*\(offset 2\)"):
        walk(b"N0\xff")


# ── bounds ────────────────────────────────────────────────────────────────────────────────────────


def test_a_million_opcodes_are_a_matter_of_a_moment() -> None:
    began = time.perf_counter()
    value, _ = walk(b"](" + b"K\1" * 999_000 + b"e.")
    assert len(value) == 999_000 and time.perf_counter() - began < 5


def test_limits_are_held() -> None:
    many = b"N0" * 10_000
    with pytest.raises(Damaged, match="more than 100 opcodes"):
        walk(many + b"N.", limits=Limits(pickle_opcodes=100))
    with pytest.raises(Damaged, match="more than 100 memo entries"):
        walk(b"N" + b"\x94" * 10_000 + b".", limits=Limits(pickle_memo=100))
    with pytest.raises(Damaged, match="more than 100 containers"):
        walk(b"]0" * 10_000 + b"N.", limits=Limits(nodes=100))
    with pytest.raises(Damaged, match="longer than 100 bytes"):
        walk(many + b"N.", limits=Limits(pickle_bytes=100))


def test_a_journal_of_a_million_deeds_stays_small_and_forgets_no_name() -> None:
    imported = op.global_("os", "system") + op.put(0)
    again = op.get(0) + op.EMPTY_TUPLE + op.REDUCE + b"0"
    _, journal = walk(op.pickle(imported, again * 100_000, op.global_("os", "popen")))
    assert len(journal) < 11_000 and journal.names("refused") == ["os.system", "os.popen"]
