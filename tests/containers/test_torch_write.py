"""What is written as a torch file is what torch reads, and what this package reads again."""

from __future__ import annotations

import io
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfumato.containers.dtype import BF16, DTYPES, F4, F32, U8
from sfumato.containers.layout import silent
from sfumato.containers.model_file import Tree
from sfumato.containers.source import Source
from sfumato.containers.tensor import CHUNK, Buffer, Origin, Tensor
from sfumato.containers.torch.write import plan_torch
from sfumato.containers.torch.zip_file import read_torch_zip
from sfumato.errors import Refused, Unverified

TORCH = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F64": torch.float64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "U16": torch.uint16,
    "U32": torch.uint32,
    "U64": torch.uint64,
    "BOOL": torch.bool,
    "C64": torch.complex64,
    "C128": torch.complex128,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
}


def tensor(name: str, shape: tuple[int, ...], data: bytes | None = None) -> Tensor:
    dtype = DTYPES[name]
    raw = bytes(i % 2 for i in range(dtype.nbytes(shape))) if data is None else data
    return Tensor(dtype, shape, lambda: raw)


def written(path: Path, tensors: dict[str, Tensor], tree: Tree = None) -> Path:
    layout = plan_torch(tensors, tree=tree)
    done: list[int] = []
    with path.open("wb") as sink:
        layout.emit(sink, done.append)
    assert path.stat().st_size == layout.nbytes == sum(done)
    assert set(layout.digests) == set(tensors)
    return path


def raw(value: torch.Tensor) -> bytes:
    return value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("mmap", [False, True])
def test_torch_reads_every_type_and_shape(
    tmp_path: Path, name: str, shape: tuple[int, ...], mmap: bool
) -> None:
    path = written(tmp_path / "a.pt", {"w": tensor(name, shape)})
    found = torch.load(path, weights_only=True, mmap=mmap)["w"]
    assert found.dtype == TORCH[name] and found.shape == shape
    assert raw(found) == tensor(name, shape).read()


def test_old_webuis_accept_every_member(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt", {f"w{i}": tensor("F16", (i, 3)) for i in range(12)})
    allowed = re.compile(r"^([^/]+)/((data/\d+)|version|(data\.pkl))$")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert all(allowed.match(name) for name in archive.namelist())
        for entry in archive.infolist():
            head = path.read_bytes()[entry.header_offset :][:30]
            data = entry.header_offset + 30 + int.from_bytes(head[26:28], "little")
            assert (data + int.from_bytes(head[28:30], "little")) % 64 == 0


NESTED: Tree = {
    "string_to_token": {"*": 265},
    "string_to_param": {"*": tensor("F32", (2, 4))},
    "name": "tests — \u202e \U0001f600",
    "step": 2**40,
    "negative": -(2**70),
    "none": None,
    "flags": [True, False, 1.5, float("inf"), b"\x00\xff", b""],
    768: ({"linear.0.weight": tensor("F32", (2, 1))}, {"linear.0.weight": tensor("F16", (1,))}),
    "empty": {"a": {}, "b": [], "c": ()},
}


def test_a_nested_value_keeps_its_structure(tmp_path: Path) -> None:
    names = ("string_to_param.*", "768.0.linear.0.weight", "768.1.linear.0.weight")
    flat = dict.fromkeys(names, tensor("F32", (1,)))
    path = written(tmp_path / "a.pt", flat, NESTED)
    found = torch.load(path, weights_only=True)
    assert found["string_to_param"]["*"].shape == (2, 4)
    assert isinstance(found[768], tuple)
    assert isinstance(found[768][0], OrderedDict)
    plain = {key: value for key, value in found.items() if key not in ("string_to_param", 768)}
    assert plain == {key: NESTED[key] for key in plain}
    assert list(found) == list(NESTED)


def test_tied_tensors_share_one_storage(tmp_path: Path) -> None:
    torch.save({"a": (a := torch.rand(50)), "b": a, "c": a[:10]}, tmp_path / "a.pt")
    with read_torch_zip(Source(tmp_path / "a.pt")) as model:
        path = written(tmp_path / "b.pt", dict(model))
    with zipfile.ZipFile(path) as archive:
        assert [name for name in archive.namelist() if "data/" in name] == [
            "archive/data/0",
            "archive/data/1",
        ]
    found = torch.load(path)
    assert found["a"].data_ptr() == found["b"].data_ptr() and torch.equal(found["c"], a[:10])


def test_tensors_of_two_files_are_never_tied(tmp_path: Path) -> None:
    one = replace(tensor("U8", (1,), b"\1"), origin=Origin("data/0", 1))
    two = replace(tensor("U8", (1,), b"\2"), origin=Origin("data/0", 1))
    found = torch.load(written(tmp_path / "b.pt", {"one": one, "two": two}))
    assert (found["one"].item(), found["two"].item()) == (1, 2)


@given(
    st.dictionaries(
        st.text(max_size=20),
        st.tuples(st.sampled_from(sorted(TORCH)), st.lists(st.integers(0, 4), max_size=3)),
        max_size=5,
    )
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_reads_back(
    tmp_path: Path, specs: dict[str, tuple[str, list[int]]]
) -> None:
    tensors = {key: tensor(name, tuple(shape)) for key, (name, shape) in specs.items()}
    with read_torch_zip(Source(written(tmp_path / "a.pt", tensors))) as model:
        assert list(model) == list(tensors)
        for key, value in tensors.items():
            assert (model[key].dtype, model[key].shape) == (value.dtype, value.shape)
            assert model[key].read() == value.read()
        assert not model.notes and not model.wrapper


def test_types_that_torch_lacks_are_refused() -> None:
    with pytest.raises(Refused, match="w: torch files cannot hold F4 tensors"):
        plan_torch({"w": Tensor(F4, (2,), lambda: b"\0")})


def test_a_tensor_that_gives_too_little_is_an_error() -> None:
    layout = plan_torch({"w": Tensor(F32, (2,), lambda: b"1234")})
    with pytest.raises(Unverified, match="gave 4 bytes where 8 were expected"):
        layout.emit(io.BytesIO(), silent)


class Sparse:
    """A sink that leaves holes for zeros, so that large files cost nothing."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")

    def write(self, data: Buffer) -> int:
        if len(data) == CHUNK:
            self.file.seek(CHUNK, io.SEEK_CUR)
        else:
            self.file.write(data)
        return len(data)


ZEROS = bytes(CHUNK)


def zeros(size: int) -> Iterator[Buffer]:
    for at in range(0, size, CHUNK):
        yield memoryview(ZEROS)[: min(CHUNK, size - at)]


@pytest.mark.slow
def test_more_than_four_gigabytes_are_read_by_torch_and_by_us(tmp_path: Path) -> None:
    size = (4 << 30) + 16
    big = Tensor(U8, (size,), lambda: b"", partial(zeros, size))
    layout = plan_torch({"big": big, "small": tensor("BF16", (3,))})
    sink = Sparse(tmp_path / "a.pt")
    layout.emit(sink, silent)  # type: ignore[arg-type]
    sink.file.close()
    found = torch.load(tmp_path / "a.pt", weights_only=True, mmap=True)
    assert found["big"].shape == (size,)
    assert raw(found["small"]) == tensor("BF16", (3,)).read()
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        assert archive.read("archive/version") == b"3\n"
    with read_torch_zip(Source(tmp_path / "a.pt")) as model:
        assert not model.notes
        assert model["big"].shape == (size,)
        assert (model["small"].dtype, model["small"].read()) == (BF16, b"\0\1\0\1\0\1")
