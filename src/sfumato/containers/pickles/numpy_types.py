"""Emulations of numpy's rebuilders: pure functions from pickled arguments to arrays and numbers."""

from __future__ import annotations

import re
from struct import unpack

from sfumato.containers import dtype as types
from sfumato.containers.dtype import DType
from sfumato.containers.pickles.plain_types import Foreign, Malformed, Unread
from sfumato.containers.pickles.values import Global, NumpyArray, NumpyDType, Record, Value

DTYPES: dict[str, DType] = {
    "b1": types.BOOL, "i1": types.I8, "i2": types.I16, "i4": types.I32, "i8": types.I64,
    "u1": types.U8, "u2": types.U16, "u4": types.U32, "u8": types.U64,
    "f2": types.F16, "f4": types.F32, "f8": types.F64, "c8": types.C64, "c16": types.C128,
}  # fmt: skip
"""numpy's names of the element types that are numbers"""

CLASSES: dict[str, str] = {
    "BoolDType": "b1", "Int8DType": "i1", "Int16DType": "i2", "Int32DType": "i4",
    "Int64DType": "i8", "UInt8DType": "u1", "UInt16DType": "u2", "UInt32DType": "u4",
    "UInt64DType": "u8", "Float16DType": "f2", "Float32DType": "f4", "Float64DType": "f8",
    "Complex64DType": "c8", "Complex128DType": "c16",
}  # fmt: skip
"""classes in numpy.dtypes"""

SCALARS = (
    "bool_", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128", "str_", "bytes_",
)  # fmt: skip
"""classes in numpy that are imported as values"""

NAME = re.compile(r"[<>=|]?([?a-zA-Z][0-9]{0,10})")
HIGHEST_RANK = 64
LARGEST = 2**63
OBJECTS = "a numpy array of Python objects is not read"


def make_dtype(arguments: tuple[Value, ...]) -> Value:
    """dtype("f8", align, copy); BUILD adds the byte order."""
    if not 1 <= len(arguments) <= 3:
        raise Malformed(f"a numpy type is described by {len(arguments)} values")
    if isinstance(arguments[0], NumpyDType):
        return arguments[0]
    source = _text(arguments[0])
    match = NAME.fullmatch(source)
    if match is None:
        raise Malformed("a numpy type has no name that numpy would know")
    name = match[1]
    if name.startswith("O"):
        raise Unread(OBJECTS)
    return NumpyDType(name, ">" if source[:1] == ">" else "<")


def _text(value: Value) -> str:
    """A short text, also where Python 2 wrote bytes; empty for anything else."""
    if isinstance(value, bytes):
        return value[:64].decode("latin-1")
    return value if isinstance(value, str) else ""


def set_dtype(target: NumpyDType, state: Value) -> None:
    """BUILD: (version, byte order, sub-array, names, fields, item size, alignment, flags …)."""
    if not isinstance(state, tuple) or not 5 <= len(state) <= 9:
        raise Malformed("a numpy type has a state that numpy would not write")
    order = _text(state[1])
    if order not in ("<", ">", "=", "|"):
        raise Malformed("a numpy type has no byte order")
    target.order = ">" if order == ">" else "<"
    dated = len(state) == 9 and state[8] is not None
    if any(part is not None for part in state[2:5]) or dated:
        target.plain = False


def make_array(arguments: tuple[Value, ...]) -> Value:
    """_reconstruct(ndarray, (0,), b"b"): an array that BUILD fills."""
    kind = arguments[0] if len(arguments) == 3 else None
    if not isinstance(kind, Global) or kind.dotted != "numpy.ndarray":
        raise Foreign
    return NumpyArray(types.I8, (0,), text="i1")


def set_array(target: NumpyArray, state: Value) -> None:
    """BUILD: (version, shape, dtype, Fortran order, bytes)."""
    if not isinstance(state, tuple) or len(state) not in (4, 5):
        raise Malformed("a numpy array has a state that numpy would not write")
    shape, dtype, fortran, data = state[-4:]
    if not isinstance(fortran, int):
        raise Malformed("a numpy array does not say in which order its elements are")
    _fill(target, (shape, dtype, data), fortran=bool(fortran))


def from_buffer(arguments: tuple[Value, ...]) -> Value:
    """_frombuffer(bytes, dtype, shape, order, axes), as protocol 5 writes arrays."""
    if len(arguments) not in (4, 5):
        raise Malformed(f"a numpy array is described by {len(arguments)} values")
    data, dtype, shape = arguments[:3]
    order = _text(arguments[3])
    if order not in ("C", "F", "K"):
        raise Malformed("a numpy array does not say in which order its elements are")
    array = NumpyArray()
    _fill(array, (shape, dtype, data), fortran=order == "F")
    axes = arguments[4] if len(arguments) == 5 else None
    if order == "K" and axes is not None:
        _transpose(array, axes)
    return array


def _fill(target: NumpyArray, parts: tuple[Value, Value, Value], *, fortran: bool) -> None:
    shape, dtype, data = parts
    if isinstance(dtype, Record):
        raise Unread(OBJECTS)
    if not isinstance(dtype, NumpyDType):
        raise Malformed("a numpy array has no element type")
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")  # Python 2 wrote bytes as text
    if not isinstance(data, bytes | bytearray):
        raise Malformed("a numpy array has no bytes")
    sizes = _shape(shape)
    known = DTYPES.get(dtype.text) if dtype.plain else None
    raw = bytes(data)
    if known is not None:
        wanted = known.nbytes(sizes)
        if wanted != len(raw):
            raise Malformed(f"a numpy array has {len(raw)} bytes and needs {wanted}")
        if dtype.order == ">":
            raw = _swapped(raw, known)
    target.dtype, target.shape, target.data = known, sizes, raw
    target.fortran, target.text = fortran and len(sizes) > 1, dtype.text


def _shape(value: Value) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > HIGHEST_RANK:
        raise Malformed("a numpy array has no shape")
    sizes = tuple(size for size in value if type(size) is int and 0 <= size < LARGEST)
    if len(sizes) != len(value):
        raise Malformed("a numpy array has a size that is not a whole number from 0 on")
    return sizes


def _swapped(raw: bytes, dtype: DType) -> bytes:
    """The same numbers with their bytes in the other order."""
    width = dtype.bits // (16 if dtype.kind == "complex" else 8)
    swapped = bytearray(len(raw))
    for index in range(width):
        swapped[index::width] = raw[width - 1 - index :: width]
    return bytes(swapped)


def _transpose(array: NumpyArray, axes: Value) -> None:
    """Bring the axes of an array in C order into another order."""
    order = _shape(axes)
    if sorted(order) != list(range(len(array.shape))) or array.dtype is None:
        raise Malformed("a numpy array does not say in which order its axes are")
    import numpy as np  # only for this: arrays whose axes were permuted before pickling

    item = array.dtype.bits // 8
    view = np.frombuffer(array.data, dtype=f"V{item}").reshape(array.shape)
    array.data = view.transpose(order).tobytes()
    array.shape = tuple(array.shape[axis] for axis in order)


def make_scalar(arguments: tuple[Value, ...]) -> Value:
    """scalar(dtype, bytes): the Python number, or text, it stands for."""
    dtype, data = arguments if len(arguments) == 2 else (None, None)
    if isinstance(dtype, Record):
        raise Unread(OBJECTS)
    if not isinstance(dtype, NumpyDType):
        raise Malformed("a numpy number has no element type")
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    if not isinstance(data, bytes | bytearray):
        raise Malformed("a numpy number has no bytes")
    known = DTYPES.get(dtype.text) if dtype.plain else None
    raw = bytes(data)
    if known is None:
        return _other_scalar(dtype, raw)
    if len(raw) != known.bits // 8:
        raise Malformed(f"a numpy number has {len(raw)} bytes and needs {known.bits // 8}")
    return _number(_swapped(raw, known) if dtype.order == ">" else raw, known)


def _number(data: bytes, dtype: DType) -> Value:
    if dtype.kind == "bool":
        return data != b"\0"
    if dtype.kind == "int":
        return int.from_bytes(data, "little", signed=dtype.name.startswith("I"))
    if dtype.kind == "complex":
        real, imaginary = unpack("<ff" if dtype.bits == 64 else "<dd", data)
        return complex(real, imaginary)
    number: float = unpack({16: "<e", 32: "<f", 64: "<d"}[dtype.bits], data)[0]
    return number


def _other_scalar(dtype: NumpyDType, data: bytes) -> Value:
    """Text is decoded; dates, records and long doubles stay bytes."""
    if not dtype.plain or not dtype.text.startswith("U"):
        return data
    try:
        text = data.decode("utf-32-be" if dtype.order == ">" else "utf-32-le")
    except UnicodeDecodeError:
        raise Malformed("a numpy text is not Unicode") from None
    return text.rstrip("\0")


def make_dtype_of_class(name: str, arguments: tuple[Value, ...]) -> Value:
    """What a class in numpy.dtypes makes of no arguments."""
    if arguments:
        raise Foreign
    return NumpyDType(CLASSES[name])
