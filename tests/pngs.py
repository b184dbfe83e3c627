"""Pictures written by hand, chunk by chunk."""

from __future__ import annotations

import base64
import json
import zlib

from sfumato.containers.pictures.chunks import MAGIC, chunk

EMBEDDING = {
    "string_to_token": {"*": 265},
    "string_to_param": {"*": {"TORCHTENSOR": [[0.5, -1.0, 0.25]]}},
    "name": "bird",
    "step": 3,
}


def header(width: int = 2, height: int = 2, depth: int = 8, colour: int = 2) -> bytes:
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return chunk(b"IHDR", size + bytes([depth, colour, 0, 0, 0]))


def text(value: object = EMBEDDING, keyword: bytes = b"sd-ti-embedding") -> bytes:
    """A text chunk with an embedding."""
    return chunk(b"tEXt", keyword + b"\0" + base64.b64encode(json.dumps(value).encode()))


def grey(width: int = 2, height: int = 2) -> bytes:
    """Pixels."""
    return chunk(b"IDAT", zlib.compress((b"\0" + b"\x80" * 3 * width) * height))


END = chunk(b"IEND", b"")


def png(*chunks: bytes, head: bytes = header(), pixels: bytes = grey()) -> bytes:
    """A whole picture."""
    return MAGIC + head + b"".join(chunks) + pixels + END
