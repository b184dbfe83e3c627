"""Names in hostile pickles: whatever is imported, called or changed is in the journal."""

from __future__ import annotations

import base64

import pytest

import opcodes as op
from opcodes import refused, storage, walk
from sfumato.containers.journal import Journal
from sfumato.containers.pickles.machine import run
from sfumato.containers.pickles.values import Global, PendingTensor, Value
from sfumato.errors import BadFile, Damaged, Unsupported

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
    "reduce": op.pickle(op.SYSTEM),
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
def test_what_a_hook_refuses_hides_nothing_that_follows() -> None:
    def hook(pid: Value) -> Value:
        raise Damaged("toy.pkl", "no such storage")

    stream = op.pickle(op.NONE, op.BINPERSID, b"0", op.SYSTEM)
    with pytest.raises(Damaged, match="no such storage"):
        walk(stream, persistent=hook)
    assert refused(stream, persistent=hook) == ["os.system"]


@pytest.mark.row(48)
def test_torch_files_inside_each_other_come_to_an_end() -> None:
    stream = op.pickle(op.NONE)
    for _ in range(50):
        stream = op.pickle(
            op.call(op.global_("torch.storage", "_load_from_bytes"), op.data(stream))
        )
    journal = Journal()

    def nested(data: bytes, where: str) -> Value:
        inside = f"{where}, inner file 1"
        return run(data, path="f", where=inside, journal=journal, nested=nested)[0]

    run(stream, path="f", where="w", journal=journal, nested=nested)
    assert journal.names("refused") == ["torch.storage._load_from_bytes"]


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
    pid = op.TENSOR_PID.split(op.BINPERSID)[0].split(b"_rebuild_tensor_v2\n(")[1] + op.BINPERSID
    _, journal = walk(op.pickle(pid, b"}", op.BUILD), persistent=storage)
    assert journal.names("refused") == ["torch.storage"]
    value, journal = walk(op.pickle(op.TENSOR_PID, b"}", op.BUILD), persistent=storage)
    assert isinstance(value, PendingTensor) and not journal.dangerous


@pytest.mark.row(49)
@pytest.mark.parametrize(
    ("target", "change"),
    [
        (op.TENSOR_PID, op.text("k") + op.NONE + b"s"),
        (op.TENSOR_PID, op.NONE + b"a"),
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
    assert "os.system" in refused(op.pickle(target, change, b"0", op.SYSTEM), persistent=storage)


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
    inner = op.pickle(op.SYSTEM)
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
    array = numpy_array(numpy_dtype("O8"), op.number(1) + op.TUPLE1, b"(" + op.SYSTEM + b"l")
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
