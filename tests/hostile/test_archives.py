"""Zip archives that two programs could read differently are refused in one sentence."""

from __future__ import annotations

import random
from pathlib import Path
from struct import pack

import pytest

from sfumato.containers.limits import Limits
from sfumato.containers.source import Source
from sfumato.containers.torch.archive import Archive, read_archive, strictly
from sfumato.containers.torch.zip_file import read_torch_zip
from sfumato.errors import BadFile, Damaged, NotAModel, SfumatoError, Unsupported
from zips import EMPTY_DICT, Member, assemble, end64, torch_zip

A, B = Member("r/data.pkl", EMPTY_DICT), Member("r/version", b"3\n")
CALLS = b"cposix\nsystem\n(X\4\0\0\0truetR."


def archive(path: Path, data: bytes) -> Archive:
    path.write_bytes(data)
    return strictly(read_archive(Source(path)))


def zip64_lacking() -> bytes:
    return assemble([A, Member("r/version", b"3\n", size=0xFFFFFFFF)])


def zip64_huge() -> bytes:
    huge = b"\1\0\x10\0" + pack("<2Q", 2**63, 2**63)
    return assemble([A, Member("r/v", packed=0xFFFFFFFF, size=0xFFFFFFFF, central_extra=huge)])


def with_end64(**lies: int) -> bytes:
    plain = assemble([A, B])
    start = plain.index(b"PK\1\2")
    size = plain.index(b"PK\5\6") - start
    return assemble([A, B], zip64=end64(2, size, start, start + size, **lies))


TWINS = Member("r/\u00e9", flags=0x800), Member("r/e\u0301", flags=0x800)
"""one letter, whole and put together: some file systems take them for one"""
SPELT = Member(b"r/\xc3\xa9", flags=0x800), Member(b"r/\xc3\xa9")
"""the same bytes, said to be UTF-8 and not: torch does not look at what is said"""

LYING: list[tuple[int, str, bytes, str]] = [
    (14, "another name", assemble([Member(A.name, A.data, local_name=b"r/datap.kl"), B]), "name"),
    (15, "flag 0x20", torch_zip(flags=0x20), "unknown flags 0x20"),
    (15, "flag 0x1000", torch_zip(flags=0x1000), "unknown flags"),
    (15, "flags differ", torch_zip(flags=0, local_flags=2), "flags"),
    (17, "twice", assemble([A, B, A]), "twice"),
    (17, "case twins", assemble([A, Member("r/DATA.pkl", EMPTY_DICT)]), "some take for one"),
    (17, "Unicode twins", assemble([A, *TWINS]), "take for one"),
    (17, "one name in two encodings", assemble([A, *SPELT]), "take for one"),
    (18, "overlap", assemble([A, Member("r/version", b"3\n", header=0)]), "overlaps"),
    (18, "overlap by size", assemble([Member(A.name, A.data, packed=9, size=9), B]), "overlaps"),
    (18, "in directory", assemble([A, Member("r/version", header=90)]), "behind the directory"),
    (18, "all past the end", assemble([Member("r/v", header=10**9)]), "behind the directory"),
    (18, "past the end", assemble([A, Member("r/version", header=10**9)]), "behind the directory"),
    (18, "size past the end", assemble([A, Member("r/v", packed=9**9, size=9**9)]), "does not lie"),
    (19, "claims too much", assemble([A, Member("r/v", b"0" * 99, 8, size=10**6)]), "unpack to"),
    (19, "stored and smaller", assemble([A, Member("r/v", b"abc", size=2)]), "changes its size"),
    (20, "zip64 missing", zip64_lacking(), "lacks a 64-bit size"),
    (20, "zip64 huge", zip64_huge(), "does not lie"),
    (20, "zip64 needed", assemble([A, B], directory_offset=0xFFFFFFFF), "needs a 64-bit record"),
    (20, "zip64 length", with_end64(length=45), "not where its locator says"),
    (20, "zip64 elsewhere", with_end64(elsewhere=0), "not where its locator says"),
    (20, "zip64 far away", with_end64(elsewhere=2**62), "cannot lie"),
    (20, "zip64 disks", with_end64(disks=2), "one part of several"),
    (20, "zip64 disk", with_end64(disk=1), "one part of several"),
    (20, "disk 1", assemble([A, B], disk=1), "one part of several"),
    (20, "member on disk 1", assemble([A, Member("r/v", disk=1)]), "one part of several"),
    (20, "fewer entries", assemble([A, B], count=1), "are no entry"),
    (20, "more entries", assemble([A, B], count=3), "is not an entry"),
    (20, "bytes after the end", assemble([A, B]) + b"junk", "not the end of the file"),
    (20, "two ends", assemble([A, B]) + assemble([])[-22:], "does not end where"),
    (20, "end in comment", assemble([A, B], comment=b"..PK\5\6.."), "the end"),
    (20, "directory elsewhere", assemble([A, B], directory_offset=3), "does not end where"),
    (20, "directory too long", assemble([Member("x" * 60_000)] * 2), "for only 2 members"),
    (21, "traversal", assemble([A, Member("r/../../etc/x", b"")]), "leads elsewhere"),
    (21, "absolute", assemble([A, Member("/etc/passwd", b"")]), "leads elsewhere"),
    (21, "drive", assemble([A, Member("C:/x", b"")]), "leads elsewhere"),
    (21, "backslash", assemble([A, Member("r\\data\\0", b"")]), "leads elsewhere"),
    (21, "NUL", assemble([A, Member(b"r/data.pkl\0.txt", b"")]), r"\x00"),
    (21, "escape", assemble([A, Member(b"r/\x1b[2Jx", b"")]), r"\x1b"),
    (21, "empty name", assemble([A, Member("", b"")]), "leads elsewhere"),
    (23, "prefix", assemble([A, B], prefix=b"#!/bin/sh\n"), "does not begin"),
    (23, "zip before", assemble([A], prefix=assemble([A, B])), "stand before"),
    (74, "descriptor lies", torch_zip(flags=8, descriptor=b"PK\7\b" + bytes(12)), "are wrong"),
    (74, "descriptor missing", torch_zip(flags=8), "are wrong"),
    (74, "other size within", torch_zip(local_size=5), "other sizes"),
    (74, "other method within", torch_zip(local_method=8), "other flags"),
    (74, "only an end", assemble([])[-22:], "does not begin"),
]


@pytest.mark.row(14, 15, 17, 18, 19, 20, 21, 23, 74)
@pytest.mark.parametrize(
    ("data", "said"), [case[2:] for case in LYING], ids=[case[1] for case in LYING]
)
def test_an_archive_that_lies_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(Damaged) as caught:
        archive(tmp_path / "model.ckpt", data)
    assert said in caught.value.reason
    assert caught.value.reason.isprintable()


@pytest.mark.row(15, 22)
@pytest.mark.parametrize("flag", [0x1, 0x40, 0x41, 0x2000])
def test_an_encrypted_archive_is_refused_by_name(tmp_path: Path, flag: int) -> None:
    with pytest.raises(Unsupported, match="is encrypted"):
        archive(tmp_path / "model.ckpt", torch_zip(flags=flag))


@pytest.mark.row(19)
@pytest.mark.parametrize(("method", "name"), [(12, "bzip2"), (14, "lzma"), (99, "method 99")])
def test_other_packing_is_refused_by_name(tmp_path: Path, method: int, name: str) -> None:
    with pytest.raises(Unsupported, match=f"packed with {name}"):
        archive(tmp_path / "model.ckpt", torch_zip(method=method))


@pytest.mark.row(19)
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    zeros = bytes(64 << 20)
    data = torch_zip(Member("archive/data/0", zeros, 8), Member("archive/data/1", zeros, 8))
    with pytest.raises(Damaged, match="claims to unpack to 1342"):
        archive(tmp_path / "model.ckpt", data)


@pytest.mark.row(19)
@pytest.mark.parametrize("claim", [9_999, 10_001])
def test_a_packed_member_must_unpack_to_its_size(tmp_path: Path, claim: int) -> None:
    found = archive(tmp_path / "a.zip", assemble([Member("a", b"x" * 10_000, 8, size=claim)]))
    with pytest.raises(Damaged, match="does not unpack to its"):
        found.region(found.entries[0]).read(0, claim)


@pytest.mark.row(19)
def test_broken_packing_is_refused(tmp_path: Path) -> None:
    whole = assemble([Member("a", b"hello" * 200, 8)])
    found = archive(tmp_path / "a.zip", whole[:34] + b"\xff" * 9 + whole[43:])
    with pytest.raises(Damaged, match="packed zip member"):
        found.region(found.entries[0]).read(0, 1000)


@pytest.mark.row(20)
def test_a_comment_is_no_reason_to_refuse(tmp_path: Path) -> None:
    assert archive(tmp_path / "a.pt", assemble([A, B], comment=b"made by hand")).entries


@pytest.mark.row(20)
def test_a_truthful_64_bit_end_is_read(tmp_path: Path) -> None:
    assert len(archive(tmp_path / "a.pt", with_end64()).entries) == 2


@pytest.mark.row(18)
def test_bytes_that_belong_to_no_member_are_noted(tmp_path: Path) -> None:
    found = archive(tmp_path / "a.pt", assemble([A, B], before_directory=b"hidden"))
    assert found.notes == ["6 bytes between the zip members belong to none"]


@pytest.mark.row(12)
def test_an_archive_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(assemble([], before_directory=b"PK\3\4" + bytes(30)))
    with pytest.raises(NotAModel, match="it holds nothing"):
        read_torch_zip(Source(tmp_path / "a.pt"))


@pytest.mark.row(24)
def test_too_many_members_are_refused_before_they_are_listed(tmp_path: Path) -> None:
    record = end64(200_001, 46 * 200_001, 34, 34 + 46 * 200_001)
    data = b"PK\3\4" + bytes(30 + 46 * 200_001) + record
    end = assemble([], count=0xFFFF, directory_size=0xFFFFFFFF, directory_offset=0xFFFFFFFF)
    with pytest.raises(Damaged, match="lists 200001 members; at most 200000"):
        archive(tmp_path / "a.pt", data + end)
    with pytest.raises(Damaged, match="lists 2 members; at most 1"):
        (tmp_path / "b.pt").write_bytes(assemble([A, B]))
        read_archive(Source(tmp_path / "b.pt"), Limits(zip_entries=1))


@pytest.mark.row(10)
@pytest.mark.parametrize("mangle", ["strip", "replace"])
def test_an_archive_that_went_through_text_mode_is_named(tmp_path: Path, mangle: str) -> None:
    data = torch_zip(Member("archive/data/0", random.Random(0).randbytes(3000)))
    if mangle == "strip":
        data = bytes(byte for byte in data if byte < 0x80)[:-10]
    else:
        data = data.decode("utf-8", "replace").encode()
    data = data.replace(b"PK\5\6", b"PK")
    with pytest.raises(Damaged, match="treated as text on its way"):
        archive(tmp_path / "empty.pt", data)


@pytest.mark.row(11)
def test_every_beginning_of_an_archive_is_refused(tmp_path: Path) -> None:
    whole = torch_zip(Member("archive/data/0", bytes(1500)))
    path = tmp_path / "a.pt"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(BadFile):
            strictly(read_archive(Source(path)))


@pytest.mark.row(74)
def test_random_damage_never_escapes_the_error_tree(tmp_path: Path) -> None:
    whole = torch_zip(Member("archive/data/0", bytes(200), 8), Member("archive/data/1", b"12345"))
    generator = random.Random(5)
    path = tmp_path / "a.pt"
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(generator.choice((1, 1, 2, 5))):
            data[generator.randrange(len(data))] = generator.randrange(256)
        path.write_bytes(data)
        try:
            found = strictly(read_archive(Source(path)))
            for entry in found.entries:
                found.read(entry, 10_000)
        except SfumatoError:
            continue


OTHERS: list[tuple[str, list[str], type[BadFile], str]] = [
    ("torchscript", ["m/data.pkl", "m/constants.pkl", "m/code/a.py"], Unsupported, "TorchScript"),
    ("old torchscript", ["m/model.json", "m/tensors/0"], Unsupported, "old TorchScript"),
    ("package", ["m/.data/extern_modules", "m/a.py"], Unsupported, "torch.package"),
    ("package code", ["m/data.pkl", "m/.data/x.py"], Unsupported, "torch.package"),
    ("mar", ["MAR-INF/MANIFEST.json", "m.pt"], Unsupported, "TorchServe"),
    ("export", ["m/archive_format", "m/x"], Unsupported, "torch.export"),
    ("core ml", ["m.mlpackage/Data/com.apple.CoreML/model.mlmodel"], Unsupported, "Core ML"),
    ("keras", ["config.json", "model.weights.h5"], Unsupported, "Keras"),
    ("onnx", ["unet/model.onnx"], Unsupported, "ONNX"),
    ("diffusers", ["sd/model_index.json"], Unsupported, "diffusers"),
    ("numpy", ["a.npy"], Unsupported, "numpy"),
    ("wrapped", ["x/model.safetensors"], Unsupported, "x/model.safetensors inside"),
    ("office", ["word/document.xml"], NotAModel, "word/document.xml"),
]


@pytest.mark.row(25)
@pytest.mark.parametrize(
    ("names", "sort", "said"), [o[1:] for o in OTHERS], ids=[o[0] for o in OTHERS]
)
def test_other_archives_are_named(
    tmp_path: Path, names: list[str], sort: type[BadFile], said: str
) -> None:
    (tmp_path / "m.pt").write_bytes(assemble([Member(name, EMPTY_DICT) for name in names]))
    with pytest.raises(sort) as caught:
        read_torch_zip(Source(tmp_path / "m.pt"))
    assert said in caught.value.reason


@pytest.mark.row(12)
@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a/data.pkl", "b/data.pkl"], "2 pickles"),
        (["a/data.pkl", "b/version"], "b/version, which no torch file has"),
        (["a/data.pkl", "a/data/x/y"], "which no torch file has"),
        (["a/data.pkl", "a/run.sh"], "which no torch file has"),
        (["a/b/data.pkl"], "where torch does not look"),
    ],
)
def test_an_archive_with_unclear_contents_is_refused(
    tmp_path: Path, names: list[str], said: str
) -> None:
    (tmp_path / "m.pt").write_bytes(assemble([Member(name, EMPTY_DICT) for name in names]))
    with pytest.raises(Damaged) as caught:
        read_torch_zip(Source(tmp_path / "m.pt"))
    assert said in caught.value.reason


EVIL = {
    "another name": assemble([Member("a/data.pkl", CALLS, local_name=b"a/datap.kl")]),
    "flag 0x1": assemble([Member("a/data.pkl", CALLS, flags=1)]),
    "flag 0x20": assemble([Member("a/data.pkl", CALLS, flags=0x20)]),
    "twins": assemble([Member("a/data.pkl", EMPTY_DICT), Member("a/Data.pkl", CALLS)]),
    "torchscript": assemble([Member("a/data.pkl", CALLS), Member("a/code/x.py")]),
    "two roots": assemble([Member("a/data.pkl", EMPTY_DICT), Member("b/data.pkl", CALLS)]),
    "other suffix": assemble([Member("a/model.txt", b"\x80\2" + CALLS)]),
    "packed": assemble([Member("a/x.pkl", CALLS, 8)]),
}


@pytest.mark.row(54)
@pytest.mark.parametrize("data", EVIL.values(), ids=EVIL)
def test_a_refused_archive_still_tells_what_it_would_have_called(
    tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "m.pt").write_bytes(data)
    with pytest.raises(BadFile) as caught:
        read_torch_zip(Source(tmp_path / "m.pt"))
    assert caught.value.journal is not None
    assert "posix.system" in caught.value.journal.names("refused")
