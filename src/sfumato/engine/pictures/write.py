"""A picture as the bytes of a file, with the record of how it was made inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.engine.pictures.exif import PREFIX, write_exif
from sfumato.errors import Refused, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

PARAMETERS = "parameters"
"""keyword of A1111's text"""
SFUMATO = "sfumato"
"""keyword of ours: JSON"""

JPEG_MOST = 65533 - 2
"""bytes of EXIF in a JPEG"""


@dataclass(frozen=True, slots=True)
class Texts:
    """What is written beside the pixels."""

    parameters: str
    """A1111's text"""
    ours: str
    """JSON"""
    software: str


def _png(image: Image, texts: Texts, quality: int) -> bytes:
    """Texts as tEXt where they are Latin-1, else as iTXt: so A1111 writes them."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for keyword, text in ((PARAMETERS, texts.parameters), (SFUMATO, texts.ours)):
        if text:
            info.add_text(keyword, text)
    sink = BytesIO()
    image.save(sink, "PNG", pnginfo=info)
    return sink.getvalue()


def _jpeg(image: Image, texts: Texts, quality: int) -> bytes:
    exif = write_exif(texts.parameters, texts.ours, texts.software)
    if len(PREFIX) + len(exif) > JPEG_MOST:
        exif = write_exif(texts.parameters, "", texts.software)
    if len(PREFIX) + len(exif) > JPEG_MOST:
        raise Refused(
            f"a JPEG holds {JPEG_MOST} bytes on how it was made, and the prompts take {len(exif)}; "
            "save it as PNG or WebP"
        )
    sink = BytesIO()
    opaque = image if image.mode in ("L", "RGB") else image.convert("RGB")
    opaque.save(sink, "JPEG", quality=quality, exif=PREFIX + exif, subsampling=0)
    return sink.getvalue()


def _webp(image: Image, texts: Texts, quality: int) -> bytes:
    """Lossless at quality 100."""
    exif = write_exif(texts.parameters, texts.ours, texts.software)
    sink = BytesIO()
    lossless = quality >= 100
    image.save(sink, "WEBP", quality=quality, lossless=lossless, exif=PREFIX + exif)
    return sink.getvalue()


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write pictures."""

    suffixes: tuple[str, ...]
    encode: Callable[[Image, Texts, int], bytes]


FORMATS: tuple[Format, ...] = (
    Format((".png",), _png),
    Format((".jpg", ".jpeg"), _jpeg),
    Format((".webp",), _webp),
)
"""the formats that pictures are written in, by ending"""


def encode(image: Image, texts: Texts, path: Path, quality: int) -> bytes:
    """The bytes of a file whose format its ending says; raises UsageError for another ending."""
    suffix = path.suffix.lower()
    found = next((one for one in FORMATS if suffix in one.suffixes), None)
    if found is None:
        known = ", ".join(ending for one in FORMATS for ending in one.suffixes)
        raise UsageError(f"{path}: pictures are written as {known}, not '{suffix}'")
    return found.encode(image, texts, quality)


def plain(text: str) -> str:
    """Text that every format can hold: no zero characters, no halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
