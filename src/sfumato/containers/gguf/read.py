"""The GGUF reader: versions 2 and 3, little-endian."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import NoReturn

from sfumato.containers.gguf.cursor import Cursor
from sfumato.containers.gguf.encodings import BY_CODE, Encoding
from sfumato.containers.gguf.keys import ALIGNMENT, ARRAY, ORIGINAL_SHAPE, Entry, read_keys
from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import GGUF, ModelFile
from sfumato.containers.source import Source
from sfumato.containers.tensor import CHUNK, Buffer, Origin, Tensor
from sfumato.containers.text import escape
from sfumato.errors import Damaged, Unsupported

MAGIC = b"GGUF"
RANK = 4
"""dimensions that ggml has"""

NAME = 64
"""bytes of a name with its final zero, as ggml keeps it; stable-diffusion.cpp writes longer ones"""

U32 = 4


@dataclass(frozen=True, slots=True)
class Row:
    """What the file says of one tensor."""

    name: str
    shape: tuple[int, ...]
    encoding: Encoding
    offset: int
    """from the start of the data"""
    nbytes: int


def read_gguf(source: Source, limits: Limits = DEFAULT) -> ModelFile:
    """The tensors of an open GGUF file, which closes with the result.

    Tensors in blocks of few bits read as F32, and `origin.encoding` names the blocks.
    Raises Damaged for a file that breaks a rule, Unsupported for versions that are not read.
    """
    cursor = Cursor(source, limits)
    _check_version(cursor)
    tensors = cursor.count("tensors", 24, limits.tensors)
    keys = read_keys(cursor, cursor.count("keys", 13, limits.gguf_keys))
    rows = _rows(cursor, tensors, keys)
    alignment = _alignment(cursor, keys)
    start = -(-cursor.offset // alignment) * alignment
    notes = (*_check_places(cursor, rows, start, alignment), *_notes(rows, keys))
    resources = ExitStack()
    resources.enter_context(source)
    return ModelFile(
        path=source.path,
        container=GGUF,
        tensors={row.name: _tensor(source, row, start) for row in rows},
        size=source.size,
        metadata={key: entry.text for key, entry in keys.items()},
        notes=notes,
        resources=resources,
    )


def _check_version(cursor: Cursor) -> None:
    path = cursor.source.path
    if cursor.take(4, "the magic") != MAGIC:
        raise Damaged(path, "does not begin with GGUF")
    version = cursor.u32("the version")
    if version in (2, 3):
        return
    swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
    if version and 1 <= swapped <= 16:
        raise Unsupported(
            path, f"is a big-endian GGUF of version {swapped}; only little-endian ones are read"
        )
    if version == 1:
        raise Unsupported(path, "is a GGUF of version 1, of August 2023; 2 and 3 are read")
    if 3 < version <= 16:
        raise Unsupported(path, f"is a GGUF of version {version}; 2 and 3 are read")
    raise Damaged(path, f"says it is a GGUF of version {version}, which does not exist")


def _alignment(cursor: Cursor, keys: Mapping[str, Entry]) -> int:
    entry = keys.get(ALIGNMENT, Entry(U32, 32))
    value = entry.value
    if entry.code != U32 or not isinstance(value, int):
        raise cursor.damaged(f"{ALIGNMENT} is not an unsigned integer of 32 bits")
    if value < 1 or value & (value - 1):
        raise cursor.damaged(f"{ALIGNMENT} is {value}, which is not a power of two")
    return value


def _rows(cursor: Cursor, count: int, keys: Mapping[str, Entry]) -> list[Row]:
    rows: dict[str, Row] = {}
    for number in range(count):
        row = _row(cursor, f"tensor {number + 1} of {count}", keys)
        if row.name in rows:
            raise cursor.damaged(f"two tensors are named {escape(row.name)}")
        rows[row.name] = row
    return list(rows.values())


def _row(cursor: Cursor, what: str, keys: Mapping[str, Entry]) -> Row:
    name = cursor.name(f"the name of {what}")
    what = escape(name)
    rank = cursor.u32(f"the rank of {what}")
    if rank > RANK:
        raise cursor.damaged(f"{what} has {rank} dimensions, where ggml has at most {RANK}")
    dims = [cursor.u64(f"the shape of {what}") for _ in range(rank)]
    # Numbers of 64 bits with a sign in ggml: larger ones are negative there.
    if any(dim >= 1 << 63 for dim in dims) or prod(dims) >= 1 << 63:
        raise cursor.damaged(f"{what} has the impossible shape {dims}")
    encoding = _encoding(cursor, cursor.u32(f"the type of {what}"), what)
    row = dims[0] if dims else 1
    if row % encoding.block:
        raise cursor.damaged(
            f"{what} has rows of {row}, "
            f"which do not fill {encoding.name} blocks of {encoding.block}"
        )
    offset = cursor.u64(f"the offset of {what}")
    shape = _original_shape(name, tuple(reversed(dims)), keys)
    return Row(name, shape, encoding, offset, encoding.nbytes(prod(dims)))


def _encoding(cursor: Cursor, code: int, what: str) -> Encoding:
    if code not in BY_CODE:
        raise Unsupported(cursor.source.path, f"{what} has ggml type {code}, which is not known")
    return BY_CODE[code]


def _original_shape(
    name: str, shape: tuple[int, ...], keys: Mapping[str, Entry]
) -> tuple[int, ...]:
    """The shape before ComfyUI-GGUF folded it, where the file tells it and it can be true."""
    entry = keys.get(ORIGINAL_SHAPE + name)
    if entry is None or entry.code != ARRAY or not isinstance(entry.value, list):
        return shape
    sizes = tuple(size for size in entry.value if isinstance(size, int) and size >= 0)
    whole = len(sizes) == entry.count and prod(sizes) == prod(shape)
    return sizes if whole else shape


def _check_places(cursor: Cursor, rows: list[Row], start: int, alignment: int) -> Iterator[str]:
    """Every tensor lies inside the file, aligned, and on bytes of its own; says what is unused."""
    size, unused, end = cursor.source.size, 0, 0
    for row in sorted(rows, key=lambda row: (row.offset, row.nbytes)):
        if row.offset % alignment:
            raise cursor.damaged(
                f"{escape(row.name)} begins at {row.offset}, not at a multiple of {alignment}"
            )
        if start + row.offset + row.nbytes > size:
            raise cursor.damaged(
                f"{escape(row.name)} needs bytes up to {start + row.offset + row.nbytes}, "
                f"but the file has {size}; the download may be incomplete"
            )
        if row.offset < end:
            raise cursor.damaged(f"{escape(row.name)} lies on bytes of the tensor before it")
        unused += _beyond(row.offset - end, alignment)
        end = row.offset + row.nbytes
    unused += _beyond(size - start - end, alignment)
    if unused:
        yield f"{unused} bytes belong to no tensor"
    if size - start < end + -end % alignment:
        # ggml pads the last tensor as well and may refuse such a file; candle does not pad it.
        yield "all tensors are whole, but the padding after the last one is missing or cut off"


def _beyond(gap: int, alignment: int) -> int:
    """Bytes of a gap that are more than padding."""
    return gap if gap >= alignment else 0


def _notes(rows: list[Row], keys: Mapping[str, Entry]) -> Iterator[str]:
    long = sum(len(row.name.encode()) >= NAME for row in rows)
    if long:
        yield (
            f"{long} of the tensor names are longer than the {NAME - 1} bytes that ggml keeps; "
            "stable-diffusion.cpp writes such files"
        )
    opaque = sorted({r.encoding.name for r in rows if not r.encoding.plain} - _decoded())
    if opaque:
        yield f"tensors in {', '.join(opaque)} are listed; their numbers are not decoded"
    parts = keys.get("split.count")
    if parts and isinstance(parts.value, int) and parts.value > 1:
        yield f"this is one of {parts.value} files of a split model; the others hold other tensors"


def _decoded() -> set[str]:
    return {encoding.name for encoding in BY_CODE.values() if encoding.decoded}


def _tensor(source: Source, row: Row, start: int) -> Tensor:
    encoding, place = row.encoding, start + row.offset
    name = "" if encoding.plain else encoding.name
    origin = Origin(f"data + {row.offset}", row.nbytes, encoding=name)
    if encoding.plain:
        read = partial(source.read, place, row.nbytes)
        pieces = partial(source.chunks, place, row.nbytes)
    elif encoding.decoded:
        read = partial(_decode, source, encoding, place, row.nbytes)
        pieces = partial(_decode_pieces, source, encoding, place, row.nbytes)
    else:
        read = pieces = partial(_refuse, source, row)
    return Tensor(encoding.dtype, row.shape, read, pieces, origin)


def _decode(source: Source, encoding: Encoding, place: int, nbytes: int) -> Buffer:
    from sfumato.containers.gguf.quants import decode

    return decode(source.read(place, nbytes), encoding).view("u1").data


def _decode_pieces(source: Source, encoding: Encoding, place: int, nbytes: int) -> Iterator[Buffer]:
    from sfumato.containers.gguf.quants import decode

    step = CHUNK // 4 // encoding.block * encoding.block_bytes
    for part in source.chunks(place, nbytes, step):
        yield decode(part, encoding).view("u1").data


def _refuse(source: Source, row: Row) -> NoReturn:
    raise Unsupported(
        source.path, f"{escape(row.name)} is stored as {row.encoding.name}, which is not decoded"
    )
