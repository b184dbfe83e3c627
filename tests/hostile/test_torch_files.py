"""Torch files that lie about their storages, tensors or structure are refused in one sentence."""

from __future__ import annotations

import io
import pickle
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path
from struct import pack

import pytest
import torch

from sfumato.containers.limits import Limits
from sfumato.containers.model_file import ModelFile
from sfumato.containers.source import Source
from sfumato.containers.torch.legacy import read_torch_legacy
from sfumato.containers.torch.plain import read_pickle
from sfumato.containers.torch.stack import MAGIC, starts_stacked
from sfumato.containers.torch.zip_file import read_torch_zip
from sfumato.errors import BadFile, Damaged, SfumatoError
from zips import EMPTY_DICT, Member, assemble, torch_zip

CALL = b"cposix\nsystem\n(X\4\0\0\0truetR"


def op(value: object) -> bytes:
    """The opcodes of a plain value, without the marks of a whole pickle."""
    return pickle.dumps(value, 2)[2:-1]


def storage(key: object = "0", numel: object = 4, kind: bytes = b"ctorch\nFloatStorage\n") -> bytes:
    return b"(" + op("storage") + kind + op(key) + op("cpu") + op(numel) + b"tQ"


def tensor(
    held: bytes | None = None, offset: object = 0, shape: object = (4,), strides: object = (1,)
) -> bytes:
    held = storage() if held is None else held
    tail = op(offset) + op(shape) + op(strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + held + tail


def dictionary(*values: bytes) -> bytes:
    items = b"".join(op(f"w{number}") + value for number, value in enumerate(values))
    return b"\x80\2}(" + items + b"u."


def opened(path: Path, *values: bytes, data: bytes = bytes(16), **limits: int) -> ModelFile:
    path.write_bytes(torch_zip(Member("archive/data/0", data), pickle=dictionary(*values)))
    return read_torch_zip(Source(path), Limits(**limits))


def test_the_honest_file_of_these_tests_is_read(tmp_path: Path) -> None:
    with opened(tmp_path / "a.pt", tensor()) as model:
        assert model["w0"].shape == (4,) and model["w0"].read() == bytes(16)


LIES: list[tuple[int, list[bytes], str]] = [
    (26, [tensor(storage(numel=3))], "has 16 bytes, and its storage of 3 elements needs 12"),
    (26, [tensor(storage(numel=5), shape=(5,))], "has 16 bytes, and its storage of 5 elements"),
    (26, [tensor(storage(numel=2**58))], "has 16 bytes"),
    (27, [tensor(storage(key="1"))], "the member data/1 is missing"),
    (27, [tensor(storage(key="../version"))], "data/../version is missing"),
    (27, [tensor(storage(key="x" * 10**6))], "no usable key"),
    (27, [tensor(storage(key=5))], "no usable key"),
    (27, [tensor(storage(key="\x1b[2J"))], r"data/\x1b[2J is missing"),
    (28, [tensor(storage(numel=2**63))], ""),
    (28, [tensor(storage(numel=-1))], "elements that cannot be"),
    (28, [tensor(storage(numel=4.0))], "elements that cannot be"),
    (28, [tensor(storage(numel=True))], "elements that cannot be"),
    (28, [tensor(storage(numel="4"))], "elements that cannot be"),
    (28, [tensor(storage(kind=b"cbuiltins\ndict\n"))], "is not a storage class"),
    (28, [tensor(storage(kind=op("FloatStorage")))], "a type that is not a class"),
    (29, [tensor(shape=(2**31, 2**31), strides=(2**31, 1))], "elements far"),
    (29, [tensor(shape=(2**63 - 1, 2**63 - 1), strides=(1, 1))], ""),
    (29, [tensor(shape=(1,) * 65, strides=(1,) * 65)], ""),
    (29, [tensor(shape=(2, 2), strides=(1,))], ""),
    (29, [tensor(shape=(2,), strides=(-1,), offset=3)], ""),
    (29, [tensor(shape=(-1,))], ""),
    (29, [tensor(offset=-1)], ""),
    (29, [tensor(shape=(2.0,))], ""),
    (29, [tensor(shape="4")], ""),
    (30, [tensor(offset=1)], "reaches 5 elements far, and the storage has 4"),
    (30, [tensor(shape=(2, 2), strides=(3, 1))], "reaches 5 elements far"),
    (32, [tensor(shape=(2**60,), strides=(0,))], "describes more than"),
    (32, [tensor(shape=(2**20, 2**20, 2**20), strides=(0, 0, 0))], "describes more than"),
    (33, [tensor(), tensor(storage(kind=b"ctorch\nIntStorage\n"))], "to hold F32 and I32"),
    (33, [tensor(), tensor(storage(numel=2), shape=(2,))], "16 bytes, and its storage of 2"),
]


@pytest.mark.row(26, 27, 28, 29, 30, 32, 33)
@pytest.mark.parametrize(("values", "said"), [lie[1:] for lie in LIES], ids=range(len(LIES)))
def test_a_tensor_that_lies_is_refused(tmp_path: Path, values: list[bytes], said: str) -> None:
    with pytest.raises(Damaged) as caught:
        opened(tmp_path / "a.pt", *values)
    assert said in caught.value.reason
    assert caught.value.reason.isprintable() and len(caught.value.reason) < 400
    assert caught.value.journal is not None


@pytest.mark.row(31)
def test_terabytes_out_of_one_storage_are_refused(tmp_path: Path) -> None:
    values = [tensor(storage(numel=4), 0, (4, 700_000 + number), (1, 0)) for number in range(2000)]
    with pytest.raises(Damaged, match=r"describes more than .* of tensors in a file of"):
        opened(tmp_path / "a.pt", *values)


@pytest.mark.row(31)
def test_a_hundred_thousand_names_of_one_tensor_are_read_quickly(tmp_path: Path) -> None:
    started = time.monotonic()
    one = b"\x80\2}(" + op("w") + tensor() + b"q\xff"
    pairs = b"".join(b"X\6\0\0\0%06d" % number + b"h\xff" for number in range(99_999))
    path = tmp_path / "a.pt"
    path.write_bytes(torch_zip(Member("archive/data/0", bytes(16)), pickle=one + pairs + b"u."))
    with read_torch_zip(Source(path)) as model:
        assert len(model) == 100_000
    assert time.monotonic() - started < 8


@pytest.mark.row(32)
def test_a_modest_expansion_is_read(tmp_path: Path) -> None:
    with opened(tmp_path / "a.pt", tensor(shape=(1000, 4), strides=(0, 1))) as model:
        assert model["w0"].read() == bytes(16_000)


@pytest.mark.row(29)
def test_a_tensor_without_elements_needs_no_storage(tmp_path: Path) -> None:
    with opened(tmp_path / "a.pt", tensor(shape=(0, 2**40), strides=(2**40, 1))) as model:
        assert model["w0"].read() == b"" and list(model["w0"].chunks()) == []


@pytest.mark.row(33)
def test_bytes_may_be_seen_as_two_types(tmp_path: Path) -> None:
    kind = b"ctorch.storage\nUntypedStorage\n"
    third = b"ctorch._utils\n_rebuild_tensor_v3\n(" + storage(numel=16, kind=kind)
    third += op(0) + op((8,)) + op((1,)) + b"\x89ccollections\nOrderedDict\n)Rctorch\nuint16\ntR"
    with opened(tmp_path / "a.pt", tensor(), third) as model:
        assert (model["w0"].shape, model["w1"].shape) == ((4,), (8,))
    with pytest.raises(Damaged, match="reaches 9 elements far, and the storage has 8"):
        opened(tmp_path / "a.pt", third.replace(op((8,)), op((9,))))


@pytest.mark.row(12)
def test_an_archive_without_a_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(assemble([Member("archive/data/0", bytes(16))]))
    with pytest.raises(BadFile, match="without a model in it"):
        read_torch_zip(Source(tmp_path / "a.pt"))


@pytest.mark.row(13)
def test_members_at_the_root_are_read(tmp_path: Path) -> None:
    members = [Member("data.pkl", dictionary(tensor())), Member("data/0", bytes(16))]
    (tmp_path / "a.pt").write_bytes(assemble(members))
    with read_torch_zip(Source(tmp_path / "a.pt")) as model:
        assert model["w0"].read() == bytes(16)


@pytest.mark.row(16)
def test_a_wrong_checksum_is_noted_and_hides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(torch_zip(pickle=b"\x80\2" + CALL + b"0}.", crc=12345))
    with read_torch_zip(Source(path)) as model:
        assert model.notes == ("the checksum of the member archive/data.pkl does not match",)
        assert "posix.system" in model.journal.names("refused")
    path.write_bytes(
        torch_zip(Member("archive/data/0", bytes(16), crc=1), pickle=dictionary(tensor()))
    )
    with read_torch_zip(Source(path)) as model:
        assert model["w0"].read() == bytes(16)


@pytest.mark.row(54)
@pytest.mark.parametrize(
    "body",
    [
        CALL + b"0}(" + op("w") + tensor(storage(key="missing")) + b"u.",
        b"}(" + op("w") + tensor(storage(key="missing")) + b"u" + CALL + b"0.",
        CALL + b"0}(garbage",
        b"}." + b"\x80\2" + CALL + b".",
    ],
    ids=["before", "after", "then garbage", "second pickle"],
)
def test_damage_never_hides_a_call(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(torch_zip(pickle=b"\x80\2" + body))
    try:
        journal = read_torch_zip(Source(path)).journal
    except Damaged as error:
        assert error.journal is not None
        journal = error.journal
    assert "posix.system" in journal.names("refused")


@pytest.mark.row(13)
@pytest.mark.parametrize("order", [b"middle", b"", b"x" * 100])
def test_an_unknown_byte_order_is_refused(tmp_path: Path, order: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(torch_zip(Member("archive/byteorder", order)))
    with pytest.raises(Damaged):
        read_torch_zip(Source(tmp_path / "a.pt"))


@pytest.mark.row(36)
@pytest.mark.parametrize("body", [b"]q\0h\0a.", b"}q\0X\1\0\0\0ah\0s.", b"]q\0(h\0ta."])
def test_a_value_inside_itself_is_refused(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(torch_zip(pickle=b"\x80\2" + body))
    with pytest.raises(Damaged):
        read_torch_zip(Source(tmp_path / "a.pt"))


@pytest.mark.row(37)
@pytest.mark.parametrize("shape", ["list", "tuple", "dict"])
def test_billions_of_repetitions_are_refused_before_they_unfold(tmp_path: Path, shape: str) -> None:
    levels = bytearray(b"\x80\2]q\0")
    for level in range(30):
        again = b"h" + bytes([level])
        if shape == "list":
            levels += b"]q" + bytes([level + 1]) + b"(" + again * 10 + b"e"
        elif shape == "tuple":
            levels += again * 3 + b"\x87q" + bytes([level + 1])
        else:
            pairs = b"".join(b"K" + bytes([n]) + again for n in range(10))
            levels += b"}q" + bytes([level + 1]) + b"(" + pairs + b"u"
    (tmp_path / "a.pt").write_bytes(torch_zip(pickle=bytes(levels) + b"."))
    started = time.monotonic()
    with pytest.raises(Damaged, match="unfolds into more than"):
        read_torch_zip(Source(tmp_path / "a.pt"))
    assert time.monotonic() - started < 2


# ------------------------------------------------------------------------- legacy files

SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}


def legacy(value: bytes, keys: object = ("0",), data: bytes = pack("<q", 4) + bytes(16),
           magic: bytes | None = None, protocol: object = 1001) -> bytes:  # fmt: skip
    keys = list(keys) if isinstance(keys, tuple) else keys
    first = pickle.dumps(MAGIC, 2) if magic is None else magic
    rest = (pickle.dumps(part, 2) for part in (protocol, SYSTEM))
    return first + b"".join(rest) + value + pickle.dumps(keys, 2) + data


def old_storage(key: object = "0", numel: object = 4, view: object = None) -> bytes:
    return storage(key, numel)[:-2] + op(view) + b"tQ"


def old_tensor(**fields: object) -> bytes:
    return dictionary(tensor(old_storage(**fields)))


def read_legacy(path: Path, data: bytes) -> ModelFile:
    path.write_bytes(data)
    return read_torch_legacy(Source(path))


def test_the_honest_legacy_file_of_these_tests_is_read(tmp_path: Path) -> None:
    with read_legacy(tmp_path / "a.pt", legacy(old_tensor())) as model:
        assert model["w0"].read() == bytes(16) and not model.notes


EVAL = b"c__builtin__\neval\n(X\x18\0\0\0" + hex(MAGIC).encode() + b"  tR."

STACKS: list[tuple[bytes, str]] = [
    (legacy(old_tensor(), magic=b"\x80\2" + EVAL), "does not begin with the magic number"),
    (legacy(old_tensor(), magic=pickle.dumps(MAGIC + 1, 2)), "magic number"),
    (legacy(old_tensor(), magic=pickle.dumps("x", 2)), "magic number"),
    (legacy(old_tensor(), protocol=1002), "another version"),
    (legacy(old_tensor(), protocol=True), "another version"),
    (legacy(old_tensor())[: len(pickle.dumps(MAGIC, 2))], "ends before pickle 2 of 5"),
    (legacy(old_tensor(), keys=5), "not a list of storage keys"),
    (legacy(old_tensor(), keys=[1]), "not a list of storage keys"),
    (legacy(old_tensor(), keys=[]), "is used and not there"),
    (legacy(old_tensor(), keys=["0", "0"]), "twice"),
    (legacy(old_tensor(), keys=["0", "1"]), "is there and not used"),
    (legacy(old_tensor(), data=pack("<q", 5) + bytes(20)), "has 5 elements, and the pickle says 4"),
    (legacy(old_tensor(), data=pack("<q", -4) + bytes(20)), "has -4 elements"),
    (legacy(old_tensor(), data=pack("<q", 4) + bytes(15)), "in storage 1 of 1, 1 bytes too early"),
    (legacy(old_tensor(), data=b""), "in storage 1 of 1, 24 bytes too early"),
    (legacy(old_tensor(numel=2**55)), "bytes too early"),
    (legacy(old_tensor(view=("v", 2, 3))), "a view reaches beyond the storage"),
    (legacy(old_tensor(view=("v", -1, 2))), "a view reaches beyond the storage"),
    (legacy(old_tensor(view=("v", 0, 2.0))), "a view reaches beyond the storage"),
    (legacy(old_tensor(view=5)), "a view that is none"),
    (legacy(old_tensor(view=("v", 2, 2))), "reaches 4 elements far, and the storage has 2"),
]


@pytest.mark.row(51)
@pytest.mark.parametrize(("data", "said"), STACKS, ids=range(len(STACKS)))
def test_a_stack_that_lies_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(Damaged) as caught:
        read_legacy(tmp_path / "a.pt", data)
    assert said in caught.value.reason


@pytest.mark.row(51)
def test_a_computed_magic_number_is_seen_for_what_it_is(tmp_path: Path) -> None:
    data = legacy(old_tensor(), magic=b"\x80\2" + EVAL)
    assert not starts_stacked(data)
    (tmp_path / "a.pt").write_bytes(data)
    with read_pickle(Source(tmp_path / "a.pt")) as model:
        assert "__builtin__.eval" in model.journal.names("refused")


@pytest.mark.row(51)
def test_bytes_after_the_last_storage_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(legacy(old_tensor()))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + (1 << 30))
    with read_torch_legacy(Source(path)) as model:
        assert model.notes == ("1073741824 bytes follow the last storage",)


@pytest.mark.row(51)
def test_a_sixth_pickle_is_only_bytes_that_follow(tmp_path: Path) -> None:
    sixth = b"\x80\2" + CALL + b"."
    with read_legacy(tmp_path / "a.pt", legacy(old_tensor()) + sixth) as model:
        assert model.notes == (f"{len(sixth)} bytes follow the last storage",)


@pytest.mark.row(23)
def test_the_end_of_a_zip_inside_a_legacy_file_changes_nothing(tmp_path: Path) -> None:
    end = assemble([])[-22:]
    data = legacy(old_tensor(numel=6), data=pack("<q", 6) + end + b"..")
    with read_legacy(tmp_path / "a.pt", data) as model:
        assert model["w0"].read() == end[:16]


def test_old_views_of_a_storage_are_read(tmp_path: Path) -> None:
    numbers = torch.arange(6, dtype=torch.int32)
    value = dictionary(
        tensor(storage("0", 6, b"ctorch\nIntStorage\n")[:-2] + op(("v", 2, 4)) + b"tQ", 1, (3,)),
        tensor(storage("0", 6, b"ctorch\nIntStorage\n")[:-2] + op(None) + b"tQ", 0, (6,)),
    )
    data = legacy(value, data=pack("<q", 6) + numbers.numpy().tobytes())
    with read_legacy(tmp_path / "a.pt", data) as model:
        assert model["w0"].read() == numbers[3:].numpy().tobytes()
        assert model["w1"].read() == numbers.numpy().tobytes()
        assert model["w0"].origin and model["w0"].origin.offset == 12


@pytest.mark.row(52)
def test_a_module_with_much_source_is_read_over(tmp_path: Path) -> None:
    source = "x" * (50 << 20)
    module = b"(" + op("module") + b"cmynet\nNet\n" + op("net.py") + op(source) + b"tQ"
    value = b"\x80\2}(" + op("m") + module + op("w0") + tensor(old_storage()) + b"u."
    with read_legacy(tmp_path / "a.pt", legacy(value)) as model:
        assert list(model) == ["w0"]
        assert all(len(event.arguments) < 1000 for event in model.journal)


@pytest.mark.row(11)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_every_beginning_of_a_torch_file_is_refused(tmp_path: Path, form: str) -> None:
    buffer = io.BytesIO()
    value = {"a": torch.arange(5), "b": torch.zeros(3)}
    torch.save(value, buffer, _use_new_zipfile_serialization=form == "zip")
    read: Callable[[Source], ModelFile] = read_torch_zip if form == "zip" else read_torch_legacy
    path = tmp_path / "a.pt"
    for length in range(len(buffer.getvalue())):
        path.write_bytes(buffer.getvalue()[:length])
        with pytest.raises(BadFile):
            read(Source(path))


@pytest.mark.row(75)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_random_damage_never_escapes_the_error_tree(tmp_path: Path, form: str) -> None:
    buffer = io.BytesIO()
    value = {"state_dict": {"a": torch.arange(5), "b": torch.zeros(3, 4).T}, "step": 7}
    torch.save(value, buffer, _use_new_zipfile_serialization=form == "zip")
    read: Callable[[Source], ModelFile] = read_torch_zip if form == "zip" else read_torch_legacy
    generator, path = random.Random(form), tmp_path / "a.pt"
    for _ in range(600):
        data = bytearray(buffer.getvalue())
        for _ in range(generator.choice((1, 1, 1, 3))):
            data[generator.randrange(len(data))] = generator.randrange(256)
        path.write_bytes(data)
        try:
            with read(Source(path)) as model:
                assert all(len(t.read()) == t.nbytes for t in model.values())
        except SfumatoError:
            continue


@pytest.mark.row(26)
def test_reading_a_lie_takes_no_memory(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for numel in (2**40, 2**58):
        with pytest.raises(Damaged):
            opened(tmp_path / "a.pt", tensor(storage(numel=numel), shape=(numel,)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


# ------------------------------------------------------------------------- files inside pickles


def inner(data: bytes) -> bytes:
    raw = b"c_codecs\nencode\n(" + op(data.decode("latin-1")) + op("latin1") + b"tR"
    return b"ctorch.storage\n_load_from_bytes\n(" + raw + b"tR"


def depth(levels: int) -> bytes:
    data = torch_zip(Member("archive/data/0", bytes(16)), pickle=dictionary(tensor()))
    for _ in range(levels):
        data = b"\x80\2" + inner(data) + b"."
    return data


@pytest.mark.row(54)
def test_torch_files_inside_pickles_are_opened_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(depth(4))
    with read_pickle(Source(path)) as model:
        assert model["w0"].read() == bytes(16)
    path.write_bytes(depth(6))
    with pytest.raises(Damaged, match="more than 4 deep"):
        read_pickle(Source(path))


@pytest.mark.row(54)
def test_a_call_deep_inside_is_seen(tmp_path: Path) -> None:
    evil = legacy(b"\x80\2" + CALL + b"0" + dictionary(tensor(old_storage()))[2:])
    (tmp_path / "a.pkl").write_bytes(b"\x80\2" + inner(b"\x80\2" + inner(evil) + b".") + b".")
    with read_pickle(Source(tmp_path / "a.pkl")) as model:
        assert "posix.system" in model.journal.names("refused")


@pytest.mark.row(54)
@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"\x80\2", b"x", EMPTY_DICT[:3]])
def test_a_broken_file_inside_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.pkl").write_bytes(b"\x80\2" + inner(data) + b".")
    with pytest.raises(BadFile):
        read_pickle(Source(tmp_path / "a.pkl"))


@pytest.mark.row(54)
@pytest.mark.parametrize("blanks", [b"\n\n\t\t", b"\0", b" \r\n"])
def test_blanks_after_a_pickle_do_not_blind(tmp_path: Path, blanks: bytes) -> None:
    stream = b"\x80\2}." + blanks + b"\x80\2" + CALL + b"."
    (tmp_path / "a.pkl").write_bytes(stream)
    with read_pickle(Source(tmp_path / "a.pkl")) as model:
        assert "posix.system" in model.journal.names("refused")
    (tmp_path / "a.pt").write_bytes(torch_zip(pickle=stream))
    with read_torch_zip(Source(tmp_path / "a.pt")) as model:
        assert "posix.system" in model.journal.names("refused")


@pytest.mark.row(54)
def test_a_flood_of_pickles_is_not_called_clean(tmp_path: Path) -> None:
    stream = b"\x80\2}." + b"N." * 60_000 + b"\x80\2" + CALL + b"."
    (tmp_path / "a.pkl").write_bytes(stream)
    with pytest.raises(Damaged, match="has more than"):
        read_pickle(Source(tmp_path / "a.pkl"))
    (tmp_path / "a.pt").write_bytes(torch_zip(pickle=stream))
    with pytest.raises(Damaged, match="has more than"):
        read_torch_zip(Source(tmp_path / "a.pt"))


@pytest.mark.row(21, 54)
def test_where_a_call_stands_is_told_in_visible_letters(tmp_path: Path) -> None:
    first = Member("\u202er/data.pkl", b"\x80\2" + CALL + b".", flags=0x800)
    (tmp_path / "a.pt").write_bytes(assemble([first]))
    journal = read_torch_zip(Source(tmp_path / "a.pt")).journal
    assert journal.refused and all(event.where.isprintable() for event in journal)


@pytest.mark.row(19)
def test_a_packed_pickle_that_unpacks_to_much_is_refused_and_its_beginning_seen(
    tmp_path: Path,
) -> None:
    stream = b"\x80\2" + CALL + b"0" + b"N0" * 40_000 + b"N."
    (tmp_path / "a.pt").write_bytes(torch_zip(pickle=stream, method=8))
    with pytest.raises(Damaged, match="has 80031 bytes; 70000 are the limit") as caught:
        read_torch_zip(Source(tmp_path / "a.pt"), Limits(packed_pickle=70_000))
    assert caught.value.journal is not None
    assert "posix.system" in caught.value.journal.names("refused")
