"""Making pictures larger without a network: the upscalers by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from sfumato.containers.text import escape
from sfumato.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

Size = tuple[int, int]
"""width and height in pixels"""


def lanczos(image: Image, size: Size) -> Image:
    """`image` at `size`, by Pillow's windowed sinc."""
    from PIL.Image import Resampling

    return image if image.size == size else image.resize(size, Resampling.LANCZOS)


def nearest(image: Image, size: Size) -> Image:
    """`image` at `size`, each pixel that of the nearest one."""
    from PIL.Image import Resampling

    return image if image.size == size else image.resize(size, Resampling.NEAREST)


@dataclass(frozen=True, slots=True)
class Upscaler:
    """A way to make a picture larger; "Latent…" ways work on latents, which the painter does."""

    name: str
    run: Callable[[Image, Size], Image] | None
    """picture, size → picture of that size; None for those that work on latents"""
    mode: Literal["", "bilinear", "bicubic", "nearest", "nearest-exact"] = ""
    """interpolation of latents, as torch names it"""
    antialias: bool = False


UPSCALERS: tuple[Upscaler, ...] = (
    Upscaler("Latent", None, "bilinear"),
    Upscaler("Latent (antialiased)", None, "bilinear", antialias=True),
    Upscaler("Latent (bicubic)", None, "bicubic"),
    Upscaler("Latent (bicubic antialiased)", None, "bicubic", antialias=True),
    Upscaler("Latent (nearest)", None, "nearest"),
    Upscaler("Latent (nearest-exact)", None, "nearest-exact"),
    Upscaler("None", lanczos),  # A1111: no upscaler, and the resizing that follows is Lanczos
    Upscaler("Lanczos", lanczos),
    Upscaler("Nearest", nearest),
)
"""every upscaler, under A1111's names"""


def find_upscaler(name: str) -> Upscaler:
    """The upscaler of a name, whatever its case; raises UsageError with the nearest name."""
    names = {upscaler.name.lower(): upscaler for upscaler in UPSCALERS}
    found = names.get(name.strip().lower())
    if found is not None:
        return found
    near = get_close_matches(name.lower(), names, 1)
    hint = f"; did you mean {names[near[0]].name!r}?" if near else ""
    known = ", ".join(upscaler.name for upscaler in UPSCALERS)
    raise UsageError(f"no upscaler is called '{escape(name, 60)}'{hint} (there are {known})")
