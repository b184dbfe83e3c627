"""What numpy pickles, the machine reads: arrays, numbers and element types of all protocols."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from sfumato.containers.journal import Journal
from sfumato.containers.pickles.machine import run
from sfumato.containers.pickles.values import NumpyArray, Value

PROTOCOLS = pytest.mark.parametrize("protocol", range(6))
SPELLINGS = pytest.mark.parametrize("spelling", [b"numpy.core", b"numpy._core"])

NUMBERS = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]


def read(stream: bytes) -> Value:
    journal = Journal()
    value, _ = run(stream, path="toy.pkl", where="toy", journal=journal)
    assert all(event.risk == "allowed" for event in journal)
    return value


def spelled(stream: bytes, spelling: bytes) -> bytes:
    """The stream as numpy 1 or 2 would write it; only for streams without frames and lengths."""
    return stream.replace(b"numpy._core", spelling).replace(b"numpy.core", spelling)


def rebuilt(array: NumpyArray) -> np.ndarray:
    assert array.dtype is not None
    order = "F" if array.fortran else "C"
    return np.frombuffer(array.data, array.dtype.carrier).reshape(array.shape, order=order)


@PROTOCOLS
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", NUMBERS)
def test_arrays_of_every_number_type_survive(protocol: int, order: str, kind: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(order + kind)
    assert np.array_equal(rebuilt(read(pickle.dumps(array, protocol))), array)


@PROTOCOLS
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
        np.array(5.0),
        np.zeros((0, 3)),
        np.arange(10)[::2],
    ],
    ids=["Fortran", "permuted", "rank 0", "empty", "strided"],
)
def test_arrays_of_every_layout_survive(protocol: int, array: np.ndarray) -> None:
    assert np.array_equal(rebuilt(read(pickle.dumps(array, protocol))), array)


@SPELLINGS
@pytest.mark.parametrize("protocol", range(4))
def test_both_spellings_of_the_module_are_read(protocol: int, spelling: bytes) -> None:
    stream = spelled(pickle.dumps([np.arange(3), np.float64(2.5)], protocol), spelling)
    array, number = read(stream)
    assert rebuilt(array).tolist() == [0, 1, 2] and number == 2.5


@PROTOCOLS
@pytest.mark.parametrize(
    "number",
    [np.float64(1.5), np.float32(0.25), np.float16(2), np.int64(-3), np.uint8(200), np.bool_(True),
     np.complex64(1 + 2j), np.str_("hé"), np.dtype(">i4").type(7)],
)  # fmt: skip
def test_numbers_become_python_numbers(protocol: int, number: np.generic) -> None:
    value = read(pickle.dumps(number, protocol))
    assert value == number.item() and type(value) is type(number.item())


@PROTOCOLS
def test_arrays_that_are_no_numbers_keep_their_bytes_and_say_what_they_are(protocol: int) -> None:
    for array in (np.array(["ab"]), np.array(["2020-01-01"], "M8[D]"), np.zeros(1, "i4,f4")):
        value = read(pickle.dumps(array, protocol))
        assert value.dtype is None and value.data == array.tobytes() and value.text


def test_arrays_of_python_2_are_read() -> None:
    header = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tU\1btR(K\1(K\1t"
    dtype = b"cnumpy\ndtype\n(U\2f4K\0K\1tR(K\3U\1<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    for raw in (np.float32(1).tobytes(), np.float32(-1e30).tobytes()):
        value = read(b"\x80\2" + header + dtype + b"\x89U\4" + raw + b"tb.")
        assert rebuilt(value).tobytes() == raw
