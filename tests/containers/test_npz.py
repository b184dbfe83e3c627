"""Numpy files give the arrays that numpy gives, and never an object."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from sfumato.containers.limits import DEFAULT
from sfumato.containers.npz import parse_description, read_npz
from sfumato.containers.source import Source
from sfumato.containers.tensor import CHUNK
from sfumato.errors import BadFile, Damaged, Dangerous, SfumatoError, Unsupported

TYPES = [
    *("<f2", "<f4", ">f4", "<f8", "|i1", "|u1", "<i2", ">i2", "<i4", "<i8", "<u2", ">u4", "<u8"),
    *("|b1", "<c8", ">c8", "<c16"),
]


def saved(path: Path, **arrays: np.ndarray) -> Source:
    np.savez(path, **arrays)
    return Source(path)


@given(
    st.sampled_from(TYPES).flatmap(
        lambda t: nps.arrays(t, nps.array_shapes(min_dims=0, max_dims=3, min_side=0))
    ),
    st.booleans(),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_array_reads_as_numpy_wrote_it(
    tmp_path: Path, array: np.ndarray, fortran: bool
) -> None:
    array = np.asfortranarray(array) if fortran else array
    with read_npz(saved(tmp_path / "a.npz", w=array)) as model:
        little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"))
        assert model["w"].shape == array.shape
        assert bytes(model["w"].read()) == little.tobytes()
        assert b"".join(map(bytes, model["w"].chunks())) == little.tobytes()


def test_packed_archives_and_single_arrays_are_read(tmp_path: Path) -> None:
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    np.savez_compressed(tmp_path / "a.npz", **{"unet/conv.weight": array, "b": array.T})
    np.save(tmp_path / "b.npy", array)
    with read_npz(Source(tmp_path / "a.npz")) as model:
        assert list(model) == ["unet/conv.weight", "b"]
        assert model["b"].read() == array.T.tobytes()
    with read_npz(Source(tmp_path / "b.npy")) as model:
        assert model["tensor"].read() == array.tobytes()


def test_a_large_transposed_array_streams_in_pieces(tmp_path: Path) -> None:
    array = np.arange(3_000_000, dtype="<i4").reshape(1500, 2000)
    with read_npz(saved(tmp_path / "a.npz", w=np.asfortranarray(array))) as model:
        pieces = [bytes(piece) for piece in model["w"].chunks()]
    assert len(pieces) > 1 and max(map(len, pieces)) <= CHUNK
    assert b"".join(pieces) == array.tobytes()


def test_text_is_left_out_with_a_note(tmp_path: Path) -> None:
    with read_npz(saved(tmp_path / "a.npz", w=np.zeros(2), name=np.array("sd"))) as model:
        assert list(model) == ["w"]
        assert model.notes == ("the array name is of type <U2 and is left out",)


class Call:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


@pytest.mark.row(55)
def test_an_array_of_objects_is_refused_with_what_it_would_call(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.npz", w=np.array([Call()], dtype=object))
    with pytest.raises(Dangerous, match=r"is a pickle that would call posix\.system") as caught:
        read_npz(source)
    assert caught.value.journal is not None and caught.value.journal.dangerous


@pytest.mark.row(55)
def test_an_array_of_harmless_objects_is_refused_too(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.npz", w=np.array([1, "a"], dtype=object))
    with pytest.raises(Unsupported, match="holds Python objects instead of numbers"):
        read_npz(source)
    fields = np.zeros(1, dtype=[("a", "O")])
    with pytest.raises(Unsupported, match="holds Python objects"):
        read_npz(saved(tmp_path / "b.npz", w=fields))


def text(descr: str = "'<f4'", fortran: str = "False", shape: str = "(2,)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}   \n"


@pytest.mark.row(56)
@pytest.mark.parametrize(
    "header",
    [
        "",
        "{}",
        "[1]",
        text()[:-6],
        text() + "+ __import__('os')",
        text().replace("'shape'", "'descr'"),
        text(descr="__import__('os')"),
        text(descr="False"),
        text(fortran="'<f4'"),
        text(fortran="1"),
        text(shape="False"),
        text(shape="(-1,)"),
        text(shape="(1.0,)"),
        text(shape="(True,)"),
        text(shape="(" + "1," * 65 + ")"),
        text(shape="(" + "9" * 19 + ",)"),
        text(shape="(" + "1" * 60_000),
        "{" * 60_000,
        "{'descr': [" * 6_000,
    ],
    ids=range(19),
)
def test_a_description_that_is_not_one_is_refused(header: str) -> None:
    assert isinstance(parse_description(header, 0, DEFAULT), str)


@pytest.mark.row(56)
@pytest.mark.parametrize("descr", ["'V2147483647'", "'<f3'", "'<M8[ns]'", "'f4'", "''", "'<f4f4'"])
def test_types_that_are_not_numbers_are_left_out(tmp_path: Path, descr: str) -> None:
    header = text(descr=descr).encode()
    data = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + bytes(8)
    (tmp_path / "a.npy").write_bytes(data)
    with read_npz(Source(tmp_path / "a.npy")) as model:
        assert not model and "left out" in model.notes[0]


@pytest.mark.parametrize("change", [-1, 1])
def test_the_numbers_must_fill_the_shape(tmp_path: Path, change: int) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(4))
    data = buffer.getvalue()
    (tmp_path / "a.npy").write_bytes(data[:-1] if change < 0 else data + b"x")
    with pytest.raises(Damaged, match=f"needs 32 bytes and has {32 + change}"):
        read_npz(Source(tmp_path / "a.npy"))


@pytest.mark.row(11)
def test_every_beginning_of_an_array_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(4))
    for length in range(len(buffer.getvalue())):
        (tmp_path / "a.npy").write_bytes(buffer.getvalue()[:length])
        with pytest.raises(BadFile):
            read_npz(Source(tmp_path / "a.npy"))


@pytest.mark.row(75)
def test_random_damage_to_an_archive_never_escapes_the_error_tree(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", a=np.zeros((2, 3)), b=np.asfortranarray(np.ones((3, 2))))
    whole = (tmp_path / "a.npz").read_bytes()
    for _ in range(800):
        data = bytearray(whole)
        data[generator.integers(len(data))] = generator.integers(256)
        (tmp_path / "b.npz").write_bytes(data)
        try:
            with read_npz(Source(tmp_path / "b.npz")) as model:
                assert all(len(t.read()) == t.nbytes for t in model.values())
        except SfumatoError:
            continue
