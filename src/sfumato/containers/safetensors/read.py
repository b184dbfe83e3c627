"""The safetensors reader: a JSON header that must account for every byte of the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from sfumato.containers.dtype import SAFETENSORS_DTYPES, DType
from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import SAFETENSORS, ModelFile
from sfumato.containers.safetensors.faults import (
    ending,
    entry_fault,
    metadata_fault,
    name_fault,
    name_notes,
    span_fault,
)
from sfumato.containers.source import Source
from sfumato.containers.strict_json import JsonError, parse_json
from sfumato.containers.tensor import Tensor
from sfumato.errors import Damaged

METADATA = "__metadata__"
"""the one key of the header that is not a tensor"""

HARD_LIMIT = 100_000_000
"""bytes of header beyond which every reader refuses (tensor.rs)"""

Row = tuple[int, int, str, DType, tuple[int, ...]]
"""first byte and end in the data, name, type, shape"""

_DTYPES = {dtype.name: dtype for dtype in SAFETENSORS_DTYPES}


@dataclass(frozen=True, slots=True)
class Header:
    """A header that kept every rule; its rows lie in the order of the data."""

    rows: list[Row]
    metadata: Mapping[str, str]
    notes: tuple[str, ...]
    start: int
    """offset in the file of the first byte after the header"""

    @property
    def nbytes(self) -> int:
        """Bytes of data that the rows account for."""
        return self.rows[-1][1] if self.rows else 0


def read_safetensors(source: Source, limits: Limits = DEFAULT) -> ModelFile:
    """The tensors of an open safetensors file, which closes with the result.

    Raises Damaged for a file that breaks any rule of the format.
    """
    header = read_header(source, limits)
    start = header.start
    resources = ExitStack()
    resources.enter_context(source)
    return ModelFile(
        path=source.path,
        container=SAFETENSORS,
        tensors={
            name: Tensor(
                dtype,
                shape,
                partial(source.read, start + begin, end - begin),
                partial(source.chunks, start + begin, end - begin),
            )
            for begin, end, name, dtype, shape in header.rows
        },
        size=source.size,
        metadata=header.metadata,
        notes=header.notes,
        resources=resources,
    )


def read_header(source: Source, limits: Limits = DEFAULT) -> Header:
    """Read and check the header, and that the data is exactly as long as it says."""
    length = _header_length(source, limits)
    try:
        header = parse_header(source.read(8, length), limits)
    except JsonError as error:
        raise Damaged(source.path, f"the safetensors header is not valid: {error}") from error
    expected = header.start + header.nbytes
    if source.size != expected:
        raise Damaged(source.path, ending(source, expected))
    return header


def _header_length(source: Source, limits: Limits) -> int:
    path, size = source.path, source.size
    if size < 8:
        raise Damaged(path, f"has {size} bytes, too few for the length of a safetensors header")
    length = int.from_bytes(source.read(0, 8), "little")
    most = min(limits.safetensors_header, HARD_LIMIT)
    if length > HARD_LIMIT:
        raise Damaged(
            path, f"the first 8 bytes say {length} bytes of header, which no safetensors file has"
        )
    if length > size - 8:
        raise Damaged(
            path,
            f"ends inside its header: {length} bytes of header expected, {size - 8} found; "
            "the download is not complete, or this is not a safetensors file",
        )
    if length > most:
        raise Damaged(path, f"the header has {length} bytes, more than the limit of {most}")
    return length


def parse_header(raw: bytes, limits: Limits = DEFAULT) -> Header:
    """Check the JSON text of a header; raises JsonError with the rule that it breaks."""
    # Counted first: a header of millions of tensors takes seconds to take apart.
    count = raw.count(b'"data_offsets"')
    if count > limits.tensors:
        raise JsonError(f"{count} tensors, more than the limit of {limits.tensors}")
    value = parse_json(raw)
    if not isinstance(value, dict):
        raise JsonError(f"a JSON object is expected, found {type(value).__name__}")
    entries = cast("dict[str, Any]", value)
    metadata: Any = entries.pop(METADATA, None)
    metadata = {} if metadata is None else metadata
    if fault := metadata_fault(metadata):
        raise JsonError(fault)
    if len(entries) > limits.tensors:
        raise JsonError(f"{len(entries)} tensors, more than the limit of {limits.tensors}")
    if fault := name_fault(entries, metadata, limits, escaped=b"\\u" in raw):
        raise JsonError(fault)
    rows, unknown = _rows(entries, limits.rank)
    _check_spans(rows)
    notes = (*_unknown_notes(unknown, entries), *name_notes(entries))
    return Header(rows, metadata, notes, 8 + len(raw))


def _rows(entries: dict[str, Any], rank: int) -> tuple[list[Row], list[str]]:
    """Rows in the order of their data, and names of tensors with unknown fields.

    This loop is what opening a file costs; what is wrong with an entry is worked out elsewhere.
    """
    rows: list[Row] = []
    unknown: list[str] = []
    for name, entry in entries.items():
        try:
            dtype = _DTYPES[entry["dtype"]]
            shape: list[int] = entry["shape"]
            begin, end = entry["data_offsets"]
            if len(shape) > rank:
                raise ValueError
            bits = dtype.bits
            sound = type(shape) is list and type(begin) is int and type(end) is int
            for size in shape:
                sound = sound and type(size) is int and size >= 0
                bits *= size
            sound = sound and begin >= 0 and end - begin == bits >> 3 and not bits & 7
        except (KeyError, TypeError, ValueError):
            raise JsonError(entry_fault(name, entry, rank)) from None
        if not sound or (not bits and entry_fault(name, entry, rank)):
            raise JsonError(entry_fault(name, entry, rank))
        if len(entry) != 3:
            unknown.append(name)
        rows.append((begin, end, name, dtype, tuple(shape)))
    rows.sort(key=_by_place)
    return rows, unknown


def _by_place(row: Row) -> tuple[int, int]:
    return row[0], row[1]


def _check_spans(rows: Iterable[Row]) -> None:
    """From zero, one after the other, no gap and no overlap."""
    cursor = 0
    for begin, end, name, _, _ in rows:
        if begin != cursor:
            raise JsonError(span_fault(name, begin, cursor))
        cursor = end


def _unknown_notes(names: list[str], entries: dict[str, Any]) -> tuple[str, ...]:
    if not names:
        return ()
    fields = {field for name in names for field in entries[name]}
    shown = sorted(ascii(field[:50]) for field in fields - {"dtype", "shape", "data_offsets"})[:5]
    return (f"{len(names)} header entries carry fields that the format has not: {shown}",)
