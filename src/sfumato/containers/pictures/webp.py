"""A WebP file as far as an embedding can be in it: its size, and whether it is lossless."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sfumato.containers.limits import Limits
from sfumato.containers.pictures.chunks import Header, damaged
from sfumato.containers.source import Source
from sfumato.errors import NotAModel

CHUNKS = 10_000
METADATA = 1 << 20
"""bytes of EXIF that are searched"""


@dataclass(frozen=True, slots=True)
class WebP:
    """A WebP file."""

    header: Header
    bare: bytes
    """the whole file where its pixels are lossless; empty where they cannot hide anything"""
    made_by: str
    trailing: int

    def named(self, keyword: str) -> list[str]:
        """WebP has no texts with keywords."""
        return []


def read_webp(source: Source, limits: Limits) -> WebP:
    """Take a WebP file apart; raises Damaged where it breaks a rule or is too large."""
    if source.size < 20 or source.read(8, 4) != b"WEBP":
        raise NotAModel(source.path, "is a RIFF file (sound, video), not a model")
    end = 8 + int.from_bytes(source.read(4, 4), "little")
    if end > source.size:
        raise damaged(source, f"has {source.size} of {end} bytes; it is cut off")
    width = height = 0
    lossless, made = False, ""
    for kind, offset, size in _places(source, end):
        head = source.read(offset, min(size, 10))
        if kind == b"VP8L" and len(head) >= 5 and not width:
            bits = int.from_bytes(head[1:5], "little")
            width, height, lossless = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, True
        elif kind == b"VP8 " and len(head) == 10 and not width:
            width = int.from_bytes(head[6:8], "little") & 0x3FFF
            height = int.from_bytes(head[8:10], "little") & 0x3FFF
        elif kind == b"EXIF" and b"Steps: " in _spread(source.read(offset, min(size, METADATA))):
            made = "parameters"
    if not width or not height:
        raise damaged(source, "has no still picture in it")
    if width * height > limits.image_pixels:
        raise damaged(
            source, f"has {width} × {height} pixels, more than the {limits.image_pixels} decoded"
        )
    packed = 8 * width * height + (1 << 20)
    if lossless and end > packed:
        raise damaged(source, "has more packed pixels than its size can need")
    header = Header(width, height, packed)
    bare = source.read(0, end) if lossless and header.searched else b""
    return WebP(header, bare, made, source.size - end)


def _places(source: Source, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind of each chunk, and where its data begin and how many they are."""
    offset = 12
    for _ in range(CHUNKS):
        if offset + 8 > end:
            return
        head = source.read(offset, 8)
        size = int.from_bytes(head[4:], "little")
        if offset + 8 + size > end:
            raise damaged(source, f"has a chunk of {size} bytes at {offset}, more than are left")
        yield head[:4], offset + 8, size
        offset += 8 + size + size % 2
    raise damaged(source, f"has more than {CHUNKS} chunks")


def _spread(exif: bytes) -> bytes:
    """EXIF comments are in UTF-16, mostly: their letters without the zeros between."""
    return exif.replace(b"\0", b"")
