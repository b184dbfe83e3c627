"""One picture as training takes it: RGB, upright, on white where it was transparent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.containers.text import escape
from sfumato.errors import Damaged

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""endings of files that are read"""

UNREAD = frozenset({".heic", ".heif", ".avif", ".psd", ".svg", ".raw", ".cr2", ".nef", ".jxl"})
"""endings of pictures that are not"""


def read_picture(path: Path) -> Image:
    """A picture as RGB: turned as its camera says, transparency laid on white.

    Raises Damaged where it is no whole picture.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I"):
                return _from_words(picture)
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture)
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Damaged(path, f"is no whole picture: {escape(str(error))}") from error


def _from_words(picture: Image) -> Image:
    """A grey picture of 16 bits, whose upper half Pillow would cut off."""
    import numpy as np
    from PIL import Image

    words: NDArray[np.int64] = np.asarray(picture).astype(np.int64)
    return Image.fromarray((words >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
