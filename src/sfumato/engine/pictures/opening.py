"""Pictures that painting starts from: opened whole, turned upright, refused in one sentence."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from sfumato.containers.source import Source
from sfumato.errors import NotAModel, Unreadable

if TYPE_CHECKING:
    from PIL.Image import Image

PIXELS = 64_000_000
"""the largest picture that is decoded"""


def open_image(path: str) -> Image:
    """The picture in a file, decoded and upright.

    Raises Unreadable where the system gives no bytes, and NotAModel for what is no picture or a
    larger one than PIXELS.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Source(path).close()  # Pillow would wait for whoever writes into a pipe
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's doubts about a file that it reads
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                if opened.width * opened.height > PIXELS:
                    raise NotAModel(path, f"has {opened.width}×{opened.height} pixels, too many")
                upright = ImageOps.exif_transpose(opened)
                seen_through = upright.mode == "P" and "transparency" in upright.info
                return upright.convert("RGBA") if seen_through else upright.copy()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NotAModel(path, "is too large a picture to open") from error
    except UnidentifiedImageError as error:
        raise NotAModel(path, "is no picture that can be read") from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise Unreadable(path, error.strerror or "cannot be read") from error
        raise NotAModel(path, f"is a damaged picture: {error}") from error
