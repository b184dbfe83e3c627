"""Hostile pickle streams: each ends in an answer, and nothing in it happens or goes unseen."""

from __future__ import annotations

import base64
import pickle as cpython
import struct

import pytest

import opcodes as op
from opcodes import refused, storage, walk
from sfumato.containers.limits import Limits
from sfumato.containers.pickles.machine import EndsEarly
from sfumato.containers.pickles.values import Global, PendingTensor, Record
from sfumato.errors import BadFile, Damaged, Unsupported

SYSTEM = op.call(op.global_("os", "system"), op.string("id"))
TENSOR_PID = op.call(
    op.global_("torch._utils", "_rebuild_tensor_v2"),
    op.MARK, op.text("storage"), op.global_("torch", "FloatStorage"), op.text("0"),
    op.text("cpu"), op.number(4), op.TUPLE, op.BINPERSID,
    op.number(0), op.number(4), op.TUPLE1, op.number(1), op.TUPLE1, b"\x89", op.NONE,
)  # fmt: skip


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
    assert refused(stream[:-1] + b"0" + SYSTEM + b".") == ["os.system"]


@pytest.mark.row(44)
@pytest.mark.parametrize("code", [b"\0", b"\xff", b"\x99", b"Z", b"\n", b"X\x3e\x0a\x66\x20ab"])
def test_what_ran_before_the_damage_is_reported(code: bytes) -> None:
    with pytest.raises(Damaged) as error:
        walk(op.pickle(SYSTEM)[:-1] + code)
    assert error.value.journal is not None
    assert error.value.journal.names("refused") == ["os.system"]


@pytest.mark.row(44)
def test_the_byte_and_its_offset_are_named() -> None:
    with pytest.raises(Damaged, match=r"toy.pkl: toy: has the byte 0xff .*\(offset 2\)"):
        walk(b"N0\xff")


# ── names ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.row(45)
def test_a_name_that_is_not_unicode_is_damage_and_in_the_journal() -> None:
    assert refused(b"co\xff\nsystem\n.") == ["o\\xff.system"]
    with pytest.raises(Damaged, match="not UTF-8"):
        walk(b"co\xff\nsystem\n.")


@pytest.mark.row(45)
@pytest.mark.parametrize(
    ("module", "name", "shown"),
    [
        ("oś", "system", "oś.system"),
        ("os ", " system", "os . system"),
        ("os\0", "system", "os\\x00.system"),
        ("os\r", "\x1b[2Jx", "os\\r.\\x1b[2Jx"),
        ("\u202eso", "system", "\\u202eso.system"),
        ("collections ", "OrderedDict", "collections .OrderedDict"),
    ],
)
def test_a_name_with_odd_characters_is_refused_and_shown_harmlessly(
    module: str, name: str, shown: str
) -> None:
    assert refused(op.pickle(op.global_(module, name))) == [shown]
    assert refused(op.pickle4(op.stack_global(module, name))) == [shown]


@pytest.mark.row(45)
def test_a_name_of_a_hundred_thousand_letters_is_damage() -> None:
    with pytest.raises(Damaged, match="line of more than 65536 bytes"):
        walk(b"c" + b"o" * 100_000 + b"\nsystem\n.")
    with pytest.raises(Damaged, match="name of more than 65536"):
        walk(op.pickle4(op.text("o" * 100_000), op.short("x"), op.STACK_GLOBAL))


@pytest.mark.row(46)
@pytest.mark.parametrize("operand", [op.number(1), op.data(b"os"), op.NONE, b"]", b")"])
def test_a_name_that_is_no_text_is_damage_and_refused(operand: bytes) -> None:
    stream = op.pickle4(operand, op.short("system"), op.STACK_GLOBAL)
    with pytest.raises(Damaged, match="in place of two texts"):
        walk(stream)
    assert refused(stream) == ["(computed).name"]


@pytest.mark.row(46)
def test_a_computed_name_is_refused_and_the_walk_goes_on() -> None:
    computed = op.call(op.global_("operator", "concat"), op.text("o"), op.text("s"))
    stream = op.pickle4(op.call(computed + op.short("system") + op.STACK_GLOBAL, op.text("id")))
    assert refused(stream) == ["operator.concat", "(computed).name"]


@pytest.mark.row(47)
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("pathlib", "os.system"),
        ("builtins", "eval.__call__"),
        ("collections", "OrderedDict.fromkeys"),
        ("__main__", "os.system"),
        ("torch.nn", "modules.module.torch.os.system"),
        ("torch", "_utils._rebuild_tensor_v2"),
        ("omegaconf", "OmegaConf.load"),
    ],
)
def test_a_dotted_name_is_refused_whatever_it_begins_with(module: str, name: str) -> None:
    assert refused(op.pickle4(op.stack_global(module, name))) == [f"{module}.{name}"]
    assert refused(op.pickle(op.global_(module, name))) == [f"{module}.{name}"]


# ── opcodes that call ─────────────────────────────────────────────────────────────────────────────

CALLS = {
    "reduce": op.pickle(SYSTEM),
    "inst": op.pickle(op.MARK, op.string("id"), op.inst("os", "system")),
    "obj": op.pickle(op.MARK, op.global_("os", "system"), op.string("id"), op.OBJ),
    "obj, dropped": op.pickle(op.MARK, op.global_("os", "system"), op.string("id"), op.OBJ, b"0N"),
    "newobj": op.pickle(op.global_("os", "system"), op.string("id"), op.TUPLE1, op.NEWOBJ),
    "newobj_ex": op.pickle4(
        op.stack_global("os", "system"), op.string("id"), op.TUPLE1, b"}", op.NEWOBJ_EX
    ),
    "protocol 0": b"cos\nsystem\n(S'id'\ntR.",
    "reconstructor": op.pickle(
        op.call(op.global_("copyreg", "_reconstructor"), op.global_("os", "system"),
                op.global_("builtins", "object"), op.NONE)
    ),
    "newobj function": op.pickle(
        op.call(op.global_("copyreg", "__newobj__"), op.global_("os", "system"), op.string("id"))
    ),
    "from type": op.pickle(
        op.call(op.global_("torch._tensor", "_rebuild_from_type_v2"), op.global_("os", "system"),
                op.global_("torch", "Tensor"), op.MARK, op.string("id"), op.TUPLE, op.NONE)
    ),
}  # fmt: skip


@pytest.mark.row(48)
@pytest.mark.parametrize("stream", CALLS.values(), ids=CALLS)
def test_every_way_to_call_is_seen(stream: bytes) -> None:
    _, journal = walk(stream)
    calls = [event for event in journal.refused if event.kind == "call"]
    assert [call.name for call in calls] == ["os.system"]
    assert [event.name for event in journal.refused if event.kind == "import"] == ["os.system"]


@pytest.mark.row(48)
@pytest.mark.parametrize("code", [b"\x82\1", b"\x83\1\1", b"\x84\1\1\1\1"])
def test_an_extension_code_is_refused(code: bytes) -> None:
    number = int.from_bytes(code[1:], "little")
    assert refused(op.pickle(code)) == [f"copyreg.extension {number}"]
    with pytest.raises(Damaged, match="extension 0"):
        walk(op.pickle(code[:1] + b"\0" * (len(code) - 1)))


@pytest.mark.row(48)
@pytest.mark.parametrize(
    "pid",
    [op.text("x" * 10_000_000), b"}", b"]", op.NONE, b")" + b"\x85" * 100, op.number(5),
     op.MARK + op.text("module") + op.global_("a", "B") + op.text("f") + op.text("src") + b"t"],
    ids=["long text", "dict", "list", "none", "nested", "number", "module"],
)  # fmt: skip
def test_an_odd_persistent_id_goes_to_the_hook_and_into_the_journal(pid: bytes) -> None:
    value, journal = walk(op.pickle(pid, op.BINPERSID), persistent=lambda _: "mine")
    assert value == "mine"
    assert [event.kind for event in journal][-1] == "persistent-id"
    assert all(len(event.arguments) <= 400 for event in journal)


@pytest.mark.row(48)
def test_a_persistent_id_without_a_hook_is_damage() -> None:
    for stream in (op.pickle(op.NONE, op.BINPERSID), b"Pid\n."):
        with pytest.raises(Damaged, match="outside the pickle"):
            walk(stream)
    with pytest.raises(Damaged, match="not ASCII"):
        walk(b"P\xff\n.", persistent=storage)


@pytest.mark.row(48)
def test_keyword_arguments_must_be_a_dictionary() -> None:
    with pytest.raises(Damaged, match="keyword arguments"):
        walk(op.pickle4(op.stack_global("collections", "OrderedDict"), b"))", op.NEWOBJ_EX))


@pytest.mark.row(49)
def test_the_state_of_a_module_is_refused_and_changes_no_name() -> None:
    override = (
        op.global_("torch", "_utils") + op.put(0)
        + b"}" + op.text("_rebuild_tensor") + op.text("builtins") + b"s" + op.BUILD + b"0"
        + op.global_("torch._utils", "_rebuild_tensor") + op.put(1)
        + op.get(1) + op.short("eval") + op.STACK_GLOBAL
    )  # fmt: skip
    names = refused(op.pickle4(override))
    assert names == ["torch._utils", "(computed).name"]
    value, _ = walk(op.pickle(op.global_("torch", "_utils"), b"}", op.BUILD))
    assert value == Global("torch", "_utils")


@pytest.mark.row(49)
def test_the_state_of_a_storage_is_refused_and_that_of_a_tensor_left_out() -> None:
    pid = TENSOR_PID.split(op.BINPERSID)[0].split(b"_rebuild_tensor_v2\n(")[1] + op.BINPERSID
    _, journal = walk(op.pickle(pid, b"}", op.BUILD), persistent=storage)
    assert journal.names("refused") == ["torch.storage"]
    value, journal = walk(op.pickle(TENSOR_PID, b"}", op.BUILD), persistent=storage)
    assert isinstance(value, PendingTensor) and not journal.dangerous


@pytest.mark.row(49)
@pytest.mark.parametrize(
    ("target", "change"),
    [
        (TENSOR_PID, op.text("k") + op.NONE + b"s"),
        (TENSOR_PID, op.NONE + b"a"),
        (b")", op.NONE + b"a"),
        (b")", b"(" + op.NONE + b"e"),
        (b"]", op.text("k") + op.NONE + b"s"),
        (b"}", op.NONE + b"a"),
        (b"}", b"(" + op.NONE + b"\x90"),
        (op.text("x"), b"}" + b"b"),
        (b"]", b"}" + b"b"),
        (op.global_("a", "B"), op.NONE + b"a"),
    ],
)
def test_what_cannot_be_changed_is_not(target: bytes, change: bytes) -> None:
    with pytest.raises(Damaged):
        walk(op.pickle(target, change), persistent=storage)
    assert "os.system" in refused(op.pickle(target, change, b"0", SYSTEM), persistent=storage)


@pytest.mark.row(50)
@pytest.mark.parametrize("code", [op.NEXT_BUFFER, op.READONLY_BUFFER])
def test_a_buffer_from_outside_is_damage(code: bytes) -> None:
    with pytest.raises(Damaged, match="buffer from outside"):
        walk(op.proto(5) + b"N" + code + b".")


# ── names of the trade ────────────────────────────────────────────────────────────────────────────


@pytest.mark.row(54)
@pytest.mark.parametrize(
    ("module", "name"),
    [("builtins", "eval"), ("__builtin__", "exec"), ("builtins", "getattr"), ("nt", "system"),
     ("posix", "system"), ("subprocess", "Popen"), ("runpy", "_run_code"), ("pip", "main"),
     ("functools", "partial"), ("operator", "attrgetter"), ("pkgutil", "resolve_name"),
     ("pickle", "loads"), ("torch", "load"), ("torch.hub", "load"), ("numpy", "load"),
     ("types", "CodeType"), ("marshal", "loads"), ("_io", "FileIO"), ("ssl", "SSLContext"),
     ("torch.jit.unsupported_tensor_ops", "execWrapper"), ("logging", "FileHandler"),
     ("numpy.testing._private.utils", "runstring"), ("torch.serialization", "load"),
     ("torch.nn.modules.module", "warnings"), ("pytorch_lightning.utilities", "Popen"),
     ("builtins", "type"), ("builtins", "compile"), ("builtins", "map"), ("dill._dill", "_eval")],
)  # fmt: skip
def test_names_that_are_not_listed_are_refused_even_if_only_imported(
    module: str, name: str
) -> None:
    assert refused(op.pickle(op.global_(module, name))) == [f"{module}.{name}"]


@pytest.mark.row(54)
def test_the_constructor_of_a_class_known_by_its_package_alone_is_refused() -> None:
    cli = op.global_("pytorch_lightning.cli", "LightningCLI")
    assert refused(op.pickle(op.call(cli, op.NONE, op.text("fit")))) != []
    assert refused(op.pickle(cli, op.EMPTY_TUPLE, op.NEWOBJ)) == []


@pytest.mark.row(54)
def test_calling_what_a_call_gave_is_refused_by_a_name_of_its_own() -> None:
    getter = op.call(op.global_("builtins", "getattr"), op.global_("os", "path"), op.text("os"))
    names = refused(op.pickle(op.call(getter, op.text("id"))))
    assert names == ["builtins.getattr", "os.path", "builtins.getattr(…)"]


@pytest.mark.row(54)
@pytest.mark.parametrize("encoding", ["rot13", "zlib", "utf-8", "unicode_escape"])
def test_a_codec_that_is_not_the_identity_is_refused(encoding: str) -> None:
    encode = op.global_("_codecs", "encode")
    assert refused(op.pickle(op.call(encode, op.text("bf"), op.text(encoding)))) != []


@pytest.mark.row(54)
def test_a_literal_that_holds_a_pickle_is_noted_and_no_reason_to_refuse() -> None:
    inner = op.pickle(SYSTEM)
    for literal in (op.data(inner), op.text(base64.b64encode(inner).decode()),
                    op.data(op.pickle(op.data(inner)))):  # fmt: skip
        _, journal = walk(op.pickle(literal))
        notes = [event.name for event in journal if event.kind == "note"]
        assert any("os.system" in note for note in notes) and not journal.dangerous


# ── numpy ─────────────────────────────────────────────────────────────────────────────────────────


def numpy_dtype(text: str) -> bytes:
    return op.call(op.global_("numpy", "dtype"), op.text(text), b"\x89", b"\x88")


def numpy_array(dtype: bytes, shape: bytes, data: bytes) -> bytes:
    empty = op.call(
        op.global_("numpy.core.multiarray", "_reconstruct"), op.global_("numpy", "ndarray"),
        op.number(0) + op.TUPLE1, op.data(b"b"),
    )  # fmt: skip
    return empty + op.MARK + op.number(1) + shape + dtype + b"\x89" + data + b"t" + op.BUILD


@pytest.mark.row(55)
def test_a_numpy_array_of_objects_is_unsupported_once_all_of_it_was_seen() -> None:
    array = numpy_array(numpy_dtype("O8"), op.number(1) + op.TUPLE1, b"(" + SYSTEM + b"l")
    with pytest.raises(Unsupported, match="Python objects") as error:
        walk(op.pickle(array))
    assert error.value.journal is not None
    assert error.value.journal.names("refused") == ["os.system"]


@pytest.mark.row(56)
@pytest.mark.parametrize(
    "text", ["O", "O8", "(2,)O", "f99999999999999", "", "f4,f4", "{'names':1}", "V2147483647", "f3"]
)
def test_a_hostile_numpy_type_makes_no_numbers(text: str) -> None:
    stream = op.pickle(
        numpy_array(numpy_dtype(text), op.number(2**31 - 1) + op.TUPLE1, op.data(b"1234"))
    )
    try:
        value, _ = walk(stream)
    except BadFile:
        return
    assert value.dtype is None and value.data == b"1234"


@pytest.mark.row(56)
def test_a_numpy_type_of_a_hundred_thousand_fields_is_no_number() -> None:
    fields = b"](" + (op.text("f") + op.text("f4") + op.TUPLE2) * 100_000 + b"e"
    stream = op.pickle(op.call(op.global_("numpy", "dtype"), fields, b"\x89", b"\x88"))
    with pytest.raises(Damaged, match="no name that numpy would know"):
        walk(stream)


@pytest.mark.row(56)
@pytest.mark.parametrize(
    "shape", [op.number(-1), op.number(3), op.number(2**31 - 1), b"\x88", op.NONE]
)
def test_a_numpy_array_needs_as_many_bytes_as_its_shape_says(shape: bytes) -> None:
    stream = op.pickle(numpy_array(numpy_dtype("f4"), shape + op.TUPLE1, op.data(b"1234")))
    with pytest.raises(Damaged, match="numpy array"):
        walk(stream)


# ── bounds ────────────────────────────────────────────────────────────────────────────────────────


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
