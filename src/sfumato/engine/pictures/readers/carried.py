"""The texts that a picture file carries beside its pixels, whatever its format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sfumato.containers.limits import Limits
from sfumato.containers.pictures.chunks import MAGIC, read_png
from sfumato.containers.source import Source, is_file
from sfumato.engine.pictures.exif import Exif, read_exif
from sfumato.engine.pictures.readers.avif import avif_blocks
from sfumato.engine.pictures.readers.blocks import MOST, Blocks
from sfumato.engine.pictures.readers.gif import gif_blocks
from sfumato.engine.pictures.readers.jpeg import jpeg_blocks
from sfumato.engine.pictures.readers.webp import webp_blocks
from sfumato.errors import NotAModel

XMP = "XML:com.adobe.xmp"
"""keyword of XMP in a PNG; here also for that of other formats"""

GRIDS = Limits(image_pixels=1 << 31)
"""the bounds of a reader that decodes no pixels: grids may be large"""

SEARCHED = 32_000_000
"""pixels of the largest picture that is decoded to look for hidden text"""

SIDE = 1 << 20
"""bytes of the largest text file beside a picture"""


@dataclass(frozen=True, slots=True)
class Carried:
    """What one file carries."""

    path: Path
    size: tuple[int, int]
    """width and height in pixels; zeros where they were not found"""
    texts: tuple[tuple[str, str], ...]
    """keyword and text, in file order"""
    exif: Exif
    beside: str = ""
    """the text file of the same name"""
    hides: bool = False
    """True where the pixels may hide text: lossless, and not too many to look"""

    def named(self, keyword: str) -> str:
        """The first text of a keyword; empty for none."""
        return next((text for key, text in self.texts if key == keyword), "")

    @property
    def accounts(self) -> tuple[str, ...]:
        """The places where programs other than by keyword say how a picture was made."""
        found = (self.named("parameters"), self.exif.comment, self.named("comment"))
        return tuple(text for text in found if text)


def carried(path: str | os.PathLike[str]) -> Carried:
    """Read the texts of a PNG, JPEG, WebP, AVIF or GIF, by content; no pixel is decoded.

    Raises Unreadable, Damaged where the file breaks its format, NotAModel where it is no picture.
    """
    with Source(path) as source:
        head = source.read(0, min(source.size, 16))
        if head.startswith(MAGIC):
            return _png(source)
        blocks = _blocks(source, head)
        lossless = head[8:12] == b"WEBP"
    texts = [(XMP, _decoded(blocks.xmp)), ("comment", _decoded(blocks.comment))]
    return Carried(
        path=source.path,
        size=blocks.size,
        texts=tuple((key, text) for key, text in texts if text),
        exif=read_exif(blocks.exif),
        beside=_beside(source.path),
        hides=lossless and _few(blocks.size),
    )


def _blocks(source: Source, head: bytes) -> Blocks:
    if head.startswith(b"\xff\xd8\xff"):
        return jpeg_blocks(source)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return webp_blocks(source)
    if head[4:12] in (b"ftypavif", b"ftypavis", b"ftypmif1"):
        return avif_blocks(source)
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return gif_blocks(source)
    raise NotAModel(source.path, "is no picture that is read: not PNG, JPEG, WebP, AVIF or GIF")


def _png(source: Source) -> Carried:
    png = read_png(source, GRIDS)
    size = png.header.width, png.header.height
    return Carried(
        path=source.path,
        size=size,
        texts=tuple(png.texts),
        exif=read_exif(_png_exif(source)),
        beside=_beside(source.path),
        hides=_few(size),
    )


def _png_exif(source: Source) -> bytes:
    """The eXIf chunk of a PNG whose chunks have been checked."""
    place = len(MAGIC)
    while place + 12 <= source.size:
        head = source.read(place, 8)
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"eXIf":
            return source.read(place + 8, min(length, MOST))
        if head[4:] == b"IEND":
            break
        place += 12 + length
    return b""


def _few(size: tuple[int, int]) -> bool:
    return 0 < size[0] * size[1] <= SEARCHED


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").strip("\0")


def _beside(path: Path) -> str:
    """The text file of the same name, as A1111 can write one."""
    side = path.with_suffix(".txt")
    if not is_file(side):
        return ""
    with Source(side) as source:
        return _decoded(source.read(0, source.size)) if source.size <= SIDE else ""
