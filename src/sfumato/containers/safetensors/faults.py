"""What is wrong with a safetensors file, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from sfumato.containers.dtype import SAFETENSORS_DTYPES
from sfumato.containers.limits import Limits
from sfumato.containers.source import Source
from sfumato.containers.text import escape

_FIELDS = ("dtype", "shape", "data_offsets")
_BITS = {dtype.name: dtype.bits for dtype in SAFETENSORS_DTYPES}
_ADDRESSABLE = 1 << 63
"""bytes that no tensor can have, even when a size of zero makes it empty"""

TAILS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"GGUF", "a GGUF file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\x7fELF", "a Linux program"),
    (b"MZ", "a Windows program"),
    (b"#!", "a script"),
    (b"7z\xbc\xaf", "a 7-zip archive"),
    (b"\x1f\x8b", "a gzip stream"),
    (b"<", "a web page"),
)
"""what bytes after the data begin with, and what that is"""

_PATHLIKE = re.compile(r"^[/\\]|^[A-Za-z]:[/\\]|(^|[/\\])\.\.([/\\]|$)")


def entry_fault(name: str, entry: object, rank: int) -> str:
    """What is wrong with the header entry of one tensor; empty where nothing is."""
    what = f"the entry of {escape(name)}"
    if not isinstance(entry, dict):
        return f"{what} is not an object"
    fields = cast("dict[str, Any]", entry)
    missing = [field for field in _FIELDS if field not in fields]
    if missing:
        return f"{what} has no {missing[0]}"
    dtype, shape, offsets = (fields[field] for field in _FIELDS)
    if not isinstance(dtype, str) or dtype not in _BITS:
        return f"{what} has the unknown dtype {_shown(dtype)}"
    fault = _sizes_fault(shape, rank) or _offsets_fault(offsets)
    if fault:
        return f"{what} {fault}"
    begin, end = offsets
    return _length_fault(what, dtype, shape, end - begin)


def _sizes_fault(shape: object, rank: int) -> str:
    if not isinstance(shape, list):
        return f"has a shape that is not a list: {_shown(shape)}"
    sizes = cast("list[Any]", shape)
    if len(sizes) > rank:
        return f"has {len(sizes)} dimensions, more than the limit of {rank}"
    bad = [size for size in sizes if type(size) is not int or not 0 <= size < _ADDRESSABLE]
    return f"has a size that no tensor can have: {_shown(bad[0])}" if bad else ""


def _offsets_fault(offsets: object) -> str:
    if not isinstance(offsets, list) or len(cast("list[Any]", offsets)) != 2:
        return "has data_offsets that are not two numbers"
    pair = cast("list[Any]", offsets)
    bad = [at for at in pair if type(at) is not int or not 0 <= at < _ADDRESSABLE]
    if bad:
        return f"has an offset that no file can have: {_shown(bad[0])}"
    return f"ends before it begins: data_offsets {pair}" if pair[1] < pair[0] else ""


def _length_fault(what: str, dtype: str, shape: list[int], length: int) -> str:
    bits, filled = _BITS[dtype], _BITS[dtype]
    for size in shape:
        bits *= size
        filled *= size or 1
    if filled >> 3 >= _ADDRESSABLE:
        return f"{what} has a shape too large for any memory: {_shown(shape)}"
    if bits % 8:
        return f"{what}: {dtype} of shape {shape} does not fill whole bytes"
    if bits >> 3 != length:
        return f"{what}: {dtype} of shape {shape} takes {bits >> 3} bytes, its offsets {length}"
    return ""


def _shown(value: object) -> str:
    """A value from the file, short and harmless; never the repr of something nested."""
    if isinstance(value, str):
        return f'"{escape(value, 60)}"'
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return str(value)
    if isinstance(value, list):
        sizes = cast("list[object]", value)
        flat = all(type(size) is int and size.bit_length() <= 64 for size in sizes)
        return escape(str(sizes)) if flat else "a list"
    return "an object"


def span_fault(name: str, begin: int, cursor: int) -> str:
    """Two tensors share bytes, or bytes lie between them."""
    if begin < cursor:
        return f"{escape(name)} begins at byte {begin} of the data, inside the tensor before it"
    return f"{begin - cursor} bytes before {escape(name)} belong to no tensor"


def metadata_fault(metadata: object) -> str:
    """Metadata may only map text to text; empty where it does."""
    if not isinstance(metadata, dict):
        return "__metadata__ is not an object"
    for key, value in cast("dict[str, Any]", metadata).items():
        if type(value) is not str:
            return f"the metadata value of {escape(key)} is {_shown(value)}, not text"
    return ""


def name_fault(
    names: Iterable[str], metadata: Mapping[str, str], limits: Limits, *, escaped: bool
) -> str:
    """Names that no file may have; `escaped` where the header has Unicode escapes at all."""
    longest = max(map(len, names), default=0)
    if longest > limits.name_bytes:
        return f"a name has {longest} characters, more than the limit of {limits.name_bytes}"
    if not escaped:
        return ""
    for name in names:
        if "\0" in name:
            return f"the name {escape(name)} contains a NUL character"
    try:
        for text in (*names, *metadata, *metadata.values()):
            text.encode("utf-8")
    except UnicodeEncodeError:
        return "a name or metadata value contains half a surrogate pair"
    return ""


def name_notes(names: Iterable[str]) -> tuple[str, ...]:
    """Names that are legal, and meant to mislead a person or a file system."""
    joined = "\n".join(names)
    notes: list[str] = []
    if not joined.replace("\n", "").isprintable():
        odd = [name for name in names if not name.isprintable()]
        if odd:
            notes.append(f"{len(odd)} names contain control characters, such as {escape(odd[0])}")
    if "/" in joined or "\\" in joined:
        odd = [name for name in names if _PATHLIKE.search(name)]
        if odd:
            notes.append(f"{len(odd)} names look like paths, such as {escape(odd[0])}")
    return tuple(notes)


def ending(source: Source, expected: int) -> str:
    """Why the file does not end where its data ends."""
    if source.size < expected:
        return (
            f"ends too early: {expected} bytes expected, {source.size} found "
            f"({expected - source.size} missing); the download or copy is not complete"
        )
    extra = source.size - expected
    kind = _tail(source, expected)
    return f"{extra} bytes after the last tensor belong to nothing; they look like {kind}"


def _tail(source: Source, start: int) -> str:
    extra = source.size - start
    head = source.read(start, min(extra, 4096))
    for magic, what in TAILS:
        if head.startswith(magic):
            return what
    if b"PK\x05\x06" in source.read(source.size - min(extra, 1024), min(extra, 1024)):
        return "a zip archive"
    return "padding" if not head.strip(b"\0 \r\n\t") else "data of another kind"
