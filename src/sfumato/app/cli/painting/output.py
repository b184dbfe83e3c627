"""Where pictures go: a file, numbered files beside it, or numbered files in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sfumato.containers.atomic import check_room, destination, translated, unfinished
from sfumato.containers.source import is_folder
from sfumato.errors import Refused

if TYPE_CHECKING:
    from sfumato.engine.pictures.picture import Picture

SUFFIXES = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
"""formats by name, and the endings their files get"""

LEAST = 4096
"""bytes that the smallest picture takes on a disk"""

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
    if target == "":
        raise click.UsageError("--output '': name a file or a folder")
    path = Path(target or ".")
    told = ENDINGS.get(path.suffix.lower())
    folder = is_folder(path) or told is None
    if folder and not is_folder(path) and not str(target).endswith(("/", "\\")):
        _refuse_endings(path)
    if not folder and named and named != told:
        raise click.UsageError(f"{path}: its ending says {told}, and --format says {named}")
    planned = Output(path, SUFFIXES[named or "png"], folder, many > 1, force)
    with translated(path, 0):
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
    whole = path.absolute()
    there = next(folder for folder in (whole, *whole.parents) if folder.exists())
    if not there.is_dir():
        raise Refused(f"{path}: nothing can be written there")
    for name in whole.relative_to(there).parts:
        (there / name).exists()  # an error of the system for a name that is too long
    check_writable(path, there)


def _check_files(planned: Output, many: int) -> None:
    parent = planned.target.parent
    if not parent.is_dir():
        raise Refused(f"{planned.target}: there is no folder {parent}")
    folders = {destination(planned.path(i), force=planned.force).parent for i in range(many)}
    for folder in folders:
        check_writable(planned.target, folder)


def check_writable(path: Path, folder: Path) -> None:
    """Raise Refused or NoRoom where no file can be made in `folder` for `path`.

    Only making one tells: what permissions say is not what a read-only disk does.
    """
    with translated(path, LEAST):
        trial = unfinished(folder / path.name)
        trial.open("xb").close()
        trial.unlink()
    check_room(path, folder, LEAST)
