"""Where pictures go: a file, numbered files beside it, or numbered files in a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sfumato.errors import OutputExists, Refused

if TYPE_CHECKING:
    from sfumato.engine.pictures.picture import Picture

SUFFIXES = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
"""formats by name, and the endings their files get"""

ENDINGS = {".png": "png", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg"}


UNWRITTEN = (
    ".apng", ".avif", ".bmp", ".exr", ".gif", ".heic", ".heif", ".ico", ".jfif", ".jp2", ".jxl",
    ".mp4", ".pdf", ".pgm", ".pnm", ".ppm", ".psd", ".svg", ".tga", ".tif", ".tiff", ".webm",
)  # fmt: skip
"""endings of pictures that are not written here: who names one wants no folder"""


@dataclass(frozen=True, slots=True)
class Output:
    """The names of the pictures of one run."""

    target: Path
    suffix: str
    """of the files in a folder"""
    folder: bool
    """True where `target` is a folder"""
    many: bool
    """True where several pictures are written under a file's name"""
    force: bool

    def path(self, index: int) -> Path:
        """The file of picture `index`, counted from 0, where `target` is a file."""
        if not self.many:
            return self.target
        return self.target.with_name(f"{self.target.stem}-{index + 1}{self.target.suffix}")

    def save(self, picture: Picture, index: int) -> Path:
        """Write a picture where it belongs; raises what `Picture.save` raises."""
        if self.folder:
            return picture.save_numbered(self.target, suffix=self.suffix)
        return picture.save(self.path(index), overwrite=self.force)

    def describe(self) -> str:
        """Where the pictures will be, as a person says it."""
        if self.folder:
            return f"numbered {self.suffix} files in {self.target}"
        return f"{self.path(0)} …" if self.many else str(self.target)


def output(target: str | None, named: str | None, *, many: int, force: bool) -> Output:
    """Where `many` pictures go, checked before anything is painted.

    A target with the ending of a picture is a file; anything else is a folder, whose files are
    numbered on from those that are there. Raises click.UsageError where ending and format
    disagree or the ending is that of pictures that are not written, OutputExists and Refused.
    """
    path = Path(target or ".")
    told = ENDINGS.get(path.suffix.lower())
    folder = path.is_dir() or told is None
    if folder and not path.is_dir() and not str(target).endswith(("/", "\\")):
        _refuse_endings(path)
    if not folder and named and named != told:
        raise click.UsageError(f"{path}: its ending says {told}, and --format says {named}")
    planned = Output(path, SUFFIXES[named or "png"], folder, many > 1, force)
    if folder:
        _check_folder(path)
    else:
        _check_files(planned, many)
    return planned


def _refuse_endings(path: Path) -> None:
    ending = path.suffix.lower()
    if ending in UNWRITTEN or get_close_matches(ending, ENDINGS, 1, 0.75):
        raise click.UsageError(f"{path}: pictures end in {', '.join(ENDINGS)}")


def _check_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        endings = ", ".join(ENDINGS)
        raise Refused(
            f"{path}: is a file that is no picture, and no folder; pictures end in {endings}"
        )
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise Refused(f"{path}: nothing can be written there")


def _check_files(planned: Output, many: int) -> None:
    parent = planned.target.parent
    if not parent.is_dir():
        raise Refused(f"{planned.target}: there is no folder {parent}")
    for index in range(many):
        path = planned.path(index)
        if path.exists() and not planned.force:
            raise OutputExists(f"{path}: is already there (force it to overwrite)")
