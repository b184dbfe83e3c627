"""The oldest torch files, of which no program writes any more, are read and mistrusted."""

from __future__ import annotations

import tarfile
import warnings
from pathlib import Path

import pytest
import torch

from sfumato.containers.model_file import TORCH_TAR
from sfumato.containers.source import Source
from sfumato.containers.torch.tar import read_torch_tar
from sfumato.errors import BadFile, Damaged, SfumatoError, Unsupported
from tars import TENSORS, Numbered, dumps, members, one_tensor, storages, tar


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
def test_an_old_tar_reads_as_torch_reads_it(tmp_path: Path, kind: int) -> None:
    (tmp_path / "a.pt").write_bytes(tar(members(), kind))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.load(tmp_path / "a.pt", weights_only=False)
    with read_torch_tar(Source(tmp_path / "a.pt")) as model:
        assert model.container == TORCH_TAR
        assert list(model) == ["w", "turned", "view", "again"]
        for name, tensor in model.items():
            assert tensor.read() == theirs[name].contiguous().numpy().tobytes(), name
        assert model.extras == {"step": 5}


DAMAGED: dict[str, tuple[dict[str, bytes], str]] = {
    "no count": (members(storages=dumps("x")), "does not begin with a usable count"),
    "count too large": (members(storages=storages(2**31)), "usable count"),
    "count one more": (members(storages=storages(2)), "storages"),
    "negative elements": (members(storages=storages(elements=-1)), "cut off"),
    "elements too many": (members(storages=storages(elements=2**60)), "cut off"),
    "strange type": (members(storages=storages(kind="x")), "no type that is known"),
    "views no list": (members(storages=storages(views=5)), "not a list"),
    "view too long": (members(storages=storages(views=[(1, 100, 4, 9)])), "reaches beyond"),
    "view of nothing": (members(storages=storages(views=[(1, 9, 0, 1)])), "reaches beyond"),
    "view negative": (members(storages=storages(views=[(1, 100, -1, 1)])), "reaches beyond"),
    "view no tuple": (members(storages=storages(views=[7])), "not described"),
    "rank": (members(tensors=dumps(1) + one_tensor(1, 100, (), (), 0, 2**31 - 1)), "dimensions"),
    "rank negative": (members(tensors=dumps(1) + one_tensor(1, 100, (), (), 0, -1)), "dimensions"),
    "rank 64": (members(tensors=dumps(1) + one_tensor(1, 100, (), (), 0, 64)), "too early"),
    "no storage": (members(tensors=dumps(1) + one_tensor(1, 7, (1,), (1,), 0)), "no storage"),
    "too far": (members(tensors=dumps(1) + one_tensor(1, 100, (13,), (1,), 0)), "13 elements far"),
    "negative stride": (members(tensors=dumps(1) + one_tensor(1, 100, (2,), (-1,), 5)), "cannot"),
    "tensors missing": (members(tensors=dumps(5)), "ends before"),
    "unknown number": (members(pickle=dumps({"w": Numbered(99)})), "not that of a tensor"),
    "strange id": (members(pickle=dumps({"w": Numbered("x")})), "not that of a tensor"),
}  # type: ignore[arg-type]


@pytest.mark.row(53)
@pytest.mark.parametrize(("parts", "said"), DAMAGED.values(), ids=DAMAGED)
def test_a_tar_that_lies_is_refused(tmp_path: Path, parts: dict[str, bytes], said: str) -> None:
    if "too far" in said or "negative" in said or said == "13 elements far":
        parts = {**parts, "pickle": dumps({"w": Numbered(1)})}
    if parts["tensors"] is not TENSORS and parts["pickle"] == members()["pickle"]:
        parts = {**parts, "pickle": dumps({"w": Numbered(1)})}
    (tmp_path / "a.pt").write_bytes(tar(parts))
    with pytest.raises(Damaged) as caught:
        read_torch_tar(Source(tmp_path / "a.pt"))
    assert said in caught.value.reason


@pytest.mark.row(53)
@pytest.mark.parametrize("name", ["storages", "tensors", "pickle"])
def test_a_tar_that_lacks_a_member_is_refused(tmp_path: Path, name: str) -> None:
    parts = {key: value for key, value in members().items() if key != name}
    (tmp_path / "a.pt").write_bytes(tar(parts))
    with pytest.raises(Damaged, match=f"lacks the member {name}"):
        read_torch_tar(Source(tmp_path / "a.pt"))


STRANGE: dict[str, tuple[bytes, str]] = {
    "another name": (tar(members(**{"model.txt": b"x"})), "model.txt in it"),
    "link": (tar({"pickle": b""}, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "in it"),
    "hard link": (tar({"pickle": b""}, type=tarfile.LNKTYPE, linkname="storages"), "in it"),
    "folder": (tar({"pickle": b""}, type=tarfile.DIRTYPE), "in it"),
    "sparse": (tar({"pickle": b""}, type=tarfile.GNUTYPE_SPARSE), "in it"),
    "pax path": (tar({"pickle": b""}, pax_headers={"path": "storages"}), "uses path"),
    "pax size": (tar({"pickle": b""}, pax_headers={"size": "99"}), "uses size"),
    "pax sparse": (tar({"p": b""}, pax_headers={"GNU.sparse.name": "x"}), "uses GNU.sparse.name"),
    "long name": (tar({"x" * 300: b""}, tarfile.GNU_FORMAT), "in it"),
}


@pytest.mark.row(53, 74)
@pytest.mark.parametrize(("data", "said"), STRANGE.values(), ids=STRANGE)
def test_a_tar_of_another_sort_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(Unsupported) as caught:
        read_torch_tar(Source(tmp_path / "a.pt"))
    assert said in caught.value.reason


def with_size(field: bytes) -> bytes:
    """The archive with another size field in its first plain header, and a right checksum."""
    data = bytearray(tar(members(), tarfile.USTAR_FORMAT))
    data[124:136] = field
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


@pytest.mark.row(53, 74)
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (with_size(b"77777777777\0"), "and the file ends after"),
        (with_size(b"\x80" + b"\xff" * 11), "and the file ends after"),
        (with_size(b"-0000000001\0"), "not a number"),
        (with_size(b"0x000000010\0"), "not a number"),
        (with_size(b"           \0"), "not a number"),
        (with_size(b"00000000000\0"), "no sound tar header"),
        (tar(members())[:-10240], "no end"),
        (tar(members(), tarfile.USTAR_FORMAT).replace(b"ustar", b"uxtar"), "no sound tar header"),
        (tar({"storages": b"", "x": b""}).replace(b"storages", b"storagez"), "no sound tar header"),
    ],
    ids=range(9),
)
def test_broken_tar_headers_are_refused(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(BadFile) as caught:
        read_torch_tar(Source(tmp_path / "a.pt"))
    assert said in caught.value.reason


@pytest.mark.row(53)
def test_a_member_twice_or_too_many_are_refused(tmp_path: Path) -> None:
    one = tar(members(), tarfile.USTAR_FORMAT).rstrip(b"\0")
    one += bytes(-len(one) % 512)
    (tmp_path / "a.pt").write_bytes(one * 2 + bytes(1024))
    with pytest.raises(Damaged, match="holds sys_info twice"):
        read_torch_tar(Source(tmp_path / "a.pt"))
    pax = tar({"pickle": b""})[:1024]
    (tmp_path / "a.pt").write_bytes(pax * 65 + bytes(1024))
    with pytest.raises(Damaged, match="more than 64 members"):
        read_torch_tar(Source(tmp_path / "a.pt"))


@pytest.mark.row(75)
def test_random_damage_to_a_tar_never_escapes_the_error_tree(tmp_path: Path) -> None:
    whole = tar(members(), tarfile.USTAR_FORMAT)
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(0, 7 * 1024, (400,), generator=generator).tolist()
    for number, place in enumerate(places):
        data = bytearray(whole)
        data[place] ^= 1 + number % 255
        (tmp_path / "a.pt").write_bytes(data)
        try:
            with read_torch_tar(Source(tmp_path / "a.pt")) as model:
                assert all(len(t.read()) == t.nbytes for t in model.values())
        except SfumatoError:
            continue
