"""One picture to learn from, and what was found in the place where pictures were looked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Item:
    """One picture with its captions."""

    name: str
    """path below the folder, or row of the array: the same on every machine"""
    digest: str
    """hex digest of the picture's bytes: what is cached about it is keyed by this"""
    size: tuple[int, int]
    """width and height in pixels"""
    captions: tuple[str, ...]
    """one is drawn each time"""
    load: Callable[[], Image]
    """opens the picture: RGB, transparency laid on white"""
    repeats: int = 1
    regularisation: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to learn from."""

    items: tuple[Item, ...]
    """in order of name"""
    notes: tuple[str, ...]
    """what a user should know, one sentence each: how many, captions from where, what is missing"""
