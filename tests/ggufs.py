"""GGUF files written by hand, field by field, so that any field can be wrong."""

from __future__ import annotations

from struct import pack

U32, F32, STRING, ARRAY = 4, 6, 8, 9
DATA = bytes(range(64))


def text(value: str | bytes, length: int | None = None) -> bytes:
    """A text with its length before it, true or not."""
    raw = value.encode() if isinstance(value, str) else value
    return pack("<Q", len(raw) if length is None else length) + raw


def key(name: str | bytes, code: int = U32, value: bytes = pack("<I", 1)) -> bytes:
    """One key with its value."""
    return text(name) + pack("<I", code) + value


def row(
    name: str | bytes = "a",
    dims: tuple[int, ...] = (4, 2),
    code: int = 0,
    offset: int = 0,
    rank: int | None = None,
) -> bytes:
    """What the file says of one tensor."""
    count = len(dims) if rank is None else rank
    return text(name) + pack(f"<I{len(dims)}QIQ", count, *dims, code, offset)


def gguf(
    rows: tuple[bytes, ...] = (),
    keys: tuple[bytes, ...] = (),
    data: bytes = DATA,
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    counts: tuple[int, int] | None = None,
) -> bytes:
    """A whole file, its data at the next multiple of 32."""
    tensors, entries = counts or (len(rows), len(keys))
    head = magic + pack("<IQQ", version, tensors, entries) + b"".join(keys) + b"".join(rows)
    return head + bytes(-len(head) % 32) + data
