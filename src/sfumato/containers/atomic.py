"""A file that is replaced in one step: at every moment the old one or the new one is there."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sfumato.containers.sizes import human
from sfumato.errors import NoRoom, OutputExists, Refused

SUFFIX = ".partial"
"""ending of an output that is not finished; the name begins with a dot"""

_SPARE = 1 << 20
"""bytes left free beside the output, for the file system's own records"""


@contextmanager
def replacing(
    path: str | os.PathLike[str], nbytes: int, *, force: bool = False
) -> Generator[BinaryIO]:
    """A file to write that takes the place of `path` when the block ends without an error.

    `nbytes` is checked against the free space before anything is written. The file's `name` is
    the path of the unfinished output, which may be read back (after a flush) inside the block.
    Raises OutputExists, NoRoom or Refused; after any error the old file is as it was.
    """
    target = destination(path, force=force)
    if target.is_dir():
        raise Refused(f"{path}: is a folder, and a file was to be written")
    check_room(path, target.parent, nbytes)
    partial = unfinished(target)
    try:
        with translated(path, nbytes):
            with partial.open("x+b") as sink:
                _keep_mode(target, sink.fileno())
                yield sink
                sink.flush()
                os.fsync(sink.fileno())
            destination(path, force=force)
            partial.replace(target)
            sync_folder(target.parent)
    finally:
        # Gone already where it took its place.
        partial.unlink(missing_ok=True)


def destination(path: str | os.PathLike[str], *, force: bool) -> Path:
    """Where an output goes: behind links, in a folder that is there, over nothing by accident."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise Refused(f"{path}: there is no folder {target.parent}")
    if target.exists():
        if not force:
            raise OutputExists(f"{path}: is already there (force it to overwrite)")
        if not target.is_file() and not target.is_dir():
            raise Refused(f"{path}: is a device or pipe, and is not replaced by a file")
    return target


def unfinished(target: Path) -> Path:
    """A free name beside `target` for the output while it is written."""
    # File names have at most 255 bytes; 48 characters are at most 192.
    return target.with_name(f".{target.name[:48]}.{secrets.token_hex(4)}{SUFFIX}")


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` last, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def translated(path: str | os.PathLike[str], nbytes: int) -> Generator[None]:
    """Errors of the operating system while writing, as ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoom(
                f"{path}: the disk became full before {human(nbytes)} were there"
            ) from error
        if error.errno == errno.EFBIG:
            raise NoRoom(f"{path}: this disk holds no files as large as {human(nbytes)}") from error
        raise Refused(f"{path}: cannot be written: {error.strerror or error}") from error


def check_room(path: str | os.PathLike[str], folder: Path, nbytes: int) -> None:
    """Raises NoRoom where the output would not fit beside everything that is there."""
    free = shutil.disk_usage(folder).free
    if nbytes + _SPARE > free:
        raise NoRoom(f"{path}: needs {human(nbytes)}, and its disk has {human(free)} free")


def _keep_mode(target: Path, descriptor: int) -> None:
    """An output that replaces a file may be read by whoever could read that one."""
    if target.is_file() and hasattr(os, "fchmod"):
        with suppress(PermissionError):
            os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))
