"""The reader of TensorFlow V1 checkpoints: one table whose values hold the numbers themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from math import prod

from sfumato.containers.dtype import DType
from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import TENSORFLOW_V1, Leaf, ModelFile
from sfumato.containers.source import Source
from sfumato.containers.tensor import Buffer, Tensor
from sfumato.containers.tensorflow.assemble import Piece, assemble, covers
from sfumato.containers.tensorflow.messages import (
    DTYPES,
    OTHER_TYPES,
    Extent,
    Slice,
    bounds,
    integer,
    message,
    read_shape,
    read_slice,
    slice_key,
    text,
)
from sfumato.containers.tensorflow.table import Table
from sfumato.containers.tensorflow.wire import WireError, fields, packed
from sfumato.containers.text import escape

CONTENT = 4
"""field of a TensorProto that holds raw bytes"""

RAW_FIELDS = {5: ("F32", 4), 6: ("F64", 8), 9: ("C64", 4), 12: ("C128", 8)}
"""fields of a TensorProto whose packed values are the bytes themselves, and bytes of one number"""

VARINT_FIELDS = {7: "I32 I16 I8 U8", 10: "I64", 11: "BOOL", 13: "F16 BF16", 16: "U32", 17: "U64"}
"""fields of a TensorProto whose packed values are integers of varying length"""


@dataclass(frozen=True, slots=True)
class Listed:
    """What the first value of the table says of one tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: int
    slices: tuple[Slice, ...]


def read_tensorflow_v1(source: Source, limits: Limits = DEFAULT) -> ModelFile:
    """The tensors of an open V1 checkpoint, which closes with the result.

    Raises Damaged where a rule of the format is broken.
    """
    table = Table(source)
    tensors: dict[str, Tensor] = {}
    extras: dict[str, Leaf] = {}
    try:
        for listed in _listed(table, limits):
            if listed.dtype in DTYPES:
                tensors[listed.name] = _tensor(table, listed)
            else:
                sort = OTHER_TYPES.get(listed.dtype, f"type {listed.dtype}")
                extras[listed.name] = f"{sort} {list(listed.shape)}, not read"
    except WireError as error:
        raise table.damaged(str(error)) from error
    resources = ExitStack()
    resources.enter_context(source)
    return ModelFile(
        path=source.path,
        container=TENSORFLOW_V1,
        tensors=tensors,
        size=source.size,
        extras=extras,
        resources=resources,
    )


def is_version_1(source: Source) -> bool:
    """True for a table whose first value is the list of a V1 checkpoint.

    Raises Damaged where the table cannot be read at all.
    """
    table = Table(source)
    try:
        return isinstance(dict(fields(table.get(b"") or b"")).get(1), bytes)
    except WireError as error:
        raise table.damaged(f"its first value: {error}") from error


def _listed(table: Table, limits: Limits) -> Iterator[Listed]:
    header = table.get(b"")
    if header is None:
        raise table.damaged("has no list of its tensors")
    count = 0
    for number, value in fields(message(dict(fields(header)).get(1, b""))):
        if number == 1:
            count += 1
            if count > limits.tensors:
                raise table.damaged(f"lists more than {limits.tensors} tensors")
            yield _one(message(value))


def _one(data: bytes) -> Listed:
    name, shape, dtype, slices = "", (), 0, list[Slice]()
    for number, value in fields(data):
        if number == 1:
            name = text(value)
        elif number == 2:
            shape = read_shape(message(value))
        elif number == 3:
            dtype = integer(value)
        elif number == 4:
            slices.append(read_slice(message(value)))
    return Listed(name, shape, dtype, tuple(slices))


def _tensor(table: Table, listed: Listed) -> Tensor:
    dtype, shape = DTYPES[listed.dtype], listed.shape
    nbytes = dtype.nbytes(shape)
    if nbytes > table.source.size * 8:  # numbers that are varints take a byte for eight
        raise table.damaged(f"{escape(listed.name)} has the shape {list(shape)}, more than fits")
    slices = listed.slices or ((Extent(),) * len(shape),)
    pieces = tuple(
        Piece(
            place := bounds(part, shape), partial(_values, table, listed.name, part, dtype, place)
        )
        for part in slices
    )
    if not covers(pieces, shape):
        raise table.damaged(f"the slices of {escape(listed.name)} do not fill {list(shape)}")
    if len(pieces) == 1:
        return Tensor(dtype, shape, pieces[0].read)
    return Tensor(dtype, shape, partial(assemble, pieces, dtype, shape))


def _values(
    table: Table, name: str, part: Slice, dtype: DType, place: tuple[tuple[int, int], ...]
) -> Buffer:
    """The bytes of one slice, which are only now looked for."""
    stored = table.get(slice_key(name, part))
    if stored is None:
        raise table.damaged(f"a slice of {escape(name)} is listed and not there")
    count = prod(end - start for start, end in place)
    try:
        saved = dict(fields(message(dict(fields(stored)).get(2, b""))))
        data = _numbers(message(saved.get(3, b"")), dtype)
    except WireError as error:
        raise table.damaged(f"{escape(name)}: {error}") from error
    if len(data) != count * dtype.bits // 8:
        raise table.damaged(f"{escape(name)} has {len(data)} bytes for {count} {dtype} numbers")
    return data


def _numbers(proto: bytes, dtype: DType) -> bytes:
    """The numbers of a TensorProto, little-endian."""
    out = bytearray()
    for number, value in fields(proto):
        raw, width = RAW_FIELDS.get(number, ("", 0))
        if number == CONTENT:
            out += message(value)
        elif dtype.name == raw:
            out += _cut(value, width) if isinstance(value, int) else value
        elif dtype.name in VARINT_FIELDS.get(number, "").split():
            values = packed(value) if isinstance(value, bytes) else (value,)
            for one in values:
                out += _cut(one, dtype.bits // 8)
    return bytes(out)


def _cut(value: int, width: int) -> bytes:
    """The low bytes of an integer; negative ones are written in 64 bits whatever their type."""
    return (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")
