"""The chunks of a PNG file: its size, its texts, and its pixels still packed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from sfumato.containers.limits import Limits
from sfumato.containers.source import Source
from sfumato.containers.text import escape
from sfumato.errors import Damaged

MAGIC = b"\x89PNG\r\n\x1a\n"

CHUNKS = 100_000

OVERHEAD = 1 << 16
"""packed pixels may take so many bytes more than unpacked ones, and a hundredth"""

SEARCHED = 8_000_000
"""pixels of a picture in which something hidden is looked for; the largest embeddings take two"""

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""colour type → numbers per pixel"""

PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
"""chunks that a decoder needs"""

TEXTS = (b"tEXt", b"zTXt", b"iTXt")

MAKERS = ("parameters", "prompt", "workflow", "invokeai_metadata", "sd-metadata", "Dream")
"""keywords under which programs keep how a picture was made: A1111, ComfyUI, InvokeAI"""


@dataclass(frozen=True, slots=True)
class Header:
    """What the first chunk tells."""

    width: int
    height: int
    packed: int
    """bytes that the packed pixels may take"""

    @property
    def searched(self) -> bool:
        """True where the picture is small enough to look for hidden data."""
        return self.width * self.height <= SEARCHED


@dataclass(slots=True)
class Png:
    """A PNG file taken apart; nothing is inflated but texts."""

    header: Header
    texts: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """keyword and text, in file order; keywords may repeat"""
    chunks: list[bytes] = field(default_factory=list[bytes])
    """those that a decoder needs for the pixels; none where the picture is not searched"""
    trailing: int = 0
    """bytes after the end"""

    @property
    def bare(self) -> bytes:
        """The picture without its texts, as a file; empty where it is not searched."""
        return MAGIC + b"".join(self.chunks) if self.chunks else b""

    @property
    def made_by(self) -> str:
        """The keyword of the text that tells how the picture was made; empty for none."""
        return next((key for key, _ in self.texts if key in MAKERS), "")

    def named(self, keyword: str) -> list[str]:
        """All texts of one keyword."""
        return [text for key, text in self.texts if key == keyword]


def read_png(source: Source, limits: Limits) -> Png:
    """Take a PNG file apart; raises Damaged where it breaks a rule or asks for too much."""
    png = Png(_header(source, limits))
    text_left, packed_left = limits.image_text, png.header.packed
    for kind, offset, size in _places(source):
        if kind in TEXTS:
            if size > text_left + OVERHEAD:
                raise damaged(source, f"has more than {limits.image_text} bytes of text")
            keyword, text = _text(source, kind, _data(source, kind, offset, size), text_left)
            text_left -= len(text)
            png.texts.append((keyword, text))
        elif kind in PIXELS:
            packed_left -= size
            if packed_left < 0:
                raise damaged(source, "has more packed pixels than its size can need")
            if png.header.searched:
                png.chunks.append(chunk(kind, _data(source, kind, offset, size)))
            png.trailing = source.size - offset - size - 4
    return png


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk as it stands in a file."""
    body = kind + data
    return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def damaged(source: Source, reason: str) -> Damaged:
    """The error of a picture."""
    return Damaged(source.path, f"is a picture that {reason}")


def _places(source: Source) -> Iterator[tuple[bytes, int, int]]:
    """Kind of each chunk, and where its data begin and how many they are; the last is IEND."""
    offset = len(MAGIC)
    for _ in range(CHUNKS):
        if offset + 12 > source.size:
            raise damaged(source, f"ends at {source.size} without its last chunk; it is cut off")
        head = source.read(offset, 8)
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if offset + 12 + size > source.size:
            raise damaged(
                source,
                f"has a chunk of {size} bytes at {offset}, more than are left; it is cut off",
            )
        yield kind, offset + 8, size
        if kind == b"IEND":
            return
        offset += 12 + size
    raise damaged(source, f"has more than {CHUNKS} chunks")


def _data(source: Source, kind: bytes, offset: int, size: int) -> bytes:
    """The data of a chunk, whose checksum must be right."""
    raw = source.read(offset, size + 4)
    data = raw[:size]
    if zlib.crc32(kind + data) != int.from_bytes(raw[size:], "big"):
        raise damaged(source, f"has a wrong checksum in its {kind.decode()} chunk at {offset}")
    return data


def _header(source: Source, limits: Limits) -> Header:
    if source.size < 33 or source.read(8, 8) != b"\0\0\0\x0dIHDR":
        raise damaged(source, "has no PNG header")
    data = _data(source, b"IHDR", 16, 13)
    width, height = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
    depth, colour = data[8], data[9]
    if not width or not height or depth not in (1, 2, 4, 8, 16) or colour not in CHANNELS:
        raise damaged(source, "has an impossible PNG header")
    if width * height > limits.image_pixels:
        raise damaged(
            source, f"has {width} × {height} pixels, more than the {limits.image_pixels} decoded"
        )
    # Every row has a filter byte; small pictures that are interlaced have a few more rows.
    unpacked = height * (width * CHANNELS[colour] * depth // 8 + 2)
    return Header(width, height, unpacked + unpacked // 50 + OVERHEAD)


def _text(source: Source, kind: bytes, data: bytes, most: int) -> tuple[str, str]:
    """Keyword and text; characters that the encoding does not have are replaced."""
    keyword, mark, rest = data.partition(b"\0")
    name = keyword.decode("latin-1")
    if not mark or not 1 <= len(keyword) <= 79:
        raise damaged(source, f"has a {kind.decode()} chunk without a keyword")
    if kind == b"tEXt":
        return name, _within(source, name, rest, most).decode("latin-1")
    if kind == b"zTXt":
        if rest[:1] != b"\0":
            raise damaged(source, f"has a text {escape(name)} of unknown compression")
        return name, _inflate(source, name, rest[1:], most).decode("latin-1")
    packed, _, rest = rest[:1], rest[1:2], rest[2:]
    parts = rest.split(b"\0", 2)
    if len(parts) != 3 or packed not in (b"\0", b"\1"):
        raise damaged(source, f"has a malformed text {escape(name)}")
    raw = parts[2]
    whole = _inflate(source, name, raw, most) if packed == b"\1" else raw
    return name, _within(source, name, whole, most).decode("utf-8", "replace")


def _within(source: Source, name: str, raw: bytes, most: int) -> bytes:
    if len(raw) > most:
        raise damaged(source, f"has more than {most} bytes of text, at {escape(name)}")
    return raw


def _inflate(source: Source, name: str, packed: bytes, most: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(packed, most + 1)
    except zlib.error as error:
        raise damaged(source, f"has a text {escape(name)} that does not inflate") from error
    if len(text) <= most and not inflater.eof:
        raise damaged(source, f"has a text {escape(name)} whose compressed data are cut off")
    return _within(source, name, text, most)
