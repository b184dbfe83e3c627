"""An open regular file: the same one from the first look to the last byte."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from sfumato.containers.tensor import CHUNK
from sfumato.containers.text import escape
from sfumato.errors import Damaged, Unreadable

_HAS_PREAD = hasattr(os, "pread")


class Source:
    """A file held open by one descriptor; every read is checked against its size.

    Reads do not move a shared position, so several threads may read at once.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open `path`; raises Unreadable for anything that is not a readable regular file."""
        self.path = Path(path)
        try:
            # O_NONBLOCK: opening a FIFO must not wait for a writer.
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(self.path, flags)
        except OSError as error:
            raise Unreadable(self.path, _why(self.path, error)) from error
        except ValueError as error:  # a zero byte, half a surrogate pair
            raise Unreadable(self.path, f"is no path: {error}") from error
        self._lock = threading.Lock()
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._descriptor)
            self._descriptor = -1
            raise Unreadable(self.path, f"is {_sort(status.st_mode)}, not a file")
        self.size = status.st_size
        """bytes, when the file was opened"""

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`; raises Damaged where the file does not have them."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise Damaged(
                self.path, f"{size} bytes wanted at offset {offset}, but the file has {self.size}"
            )
        parts: list[bytes] = []
        while size:
            part = self._pread(offset, size)
            if not part:
                raise Damaged(self.path, f"ended at offset {offset} while it was being read")
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def chunks(self, offset: int, size: int, step: int = CHUNK) -> Iterator[bytes]:
        """The same bytes as `read`, at most `step` at a time."""
        end = offset + size
        while offset < end:
            yield self.read(offset, min(step, end - offset))
            offset += min(step, end - offset)

    def changed(self) -> bool:
        """True where the file has another size now than when it was opened."""
        return os.fstat(self._descriptor).st_size != self.size

    def _pread(self, offset: int, size: int) -> bytes:
        if self._descriptor < 0:
            raise Unreadable(self.path, "was closed before all of it was read")
        try:
            if _HAS_PREAD:
                return os.pread(self._descriptor, size, offset)
            with self._lock:
                os.lseek(self._descriptor, offset, os.SEEK_SET)
                return os.read(self._descriptor, size)
        except OSError as error:
            raise Unreadable(self.path, f"could not be read at offset {offset}: {error}") from error

    def close(self) -> None:
        """Give the descriptor back; reading afterwards raises Unreadable."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()


def is_file(path: Path) -> bool:
    """True for a regular file; what cannot be looked at is none, and no error."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, a folder that may not be entered
        return False


def is_folder(path: Path) -> bool:
    """True for a folder; what cannot be looked at is none, and no error."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _sort(mode: int) -> str:
    """What a path that is not a regular file is."""
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a device or socket"


def _why(path: Path, error: OSError) -> str:
    if error.errno == errno.ENOENT and path.is_symlink():
        return f"is a link to {escape(str(path.readlink()))}, which does not exist"
    return f"cannot be opened: {error.strerror or error}"
