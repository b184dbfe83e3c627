"""A place in an open GGUF file from which numbers and texts are taken, never past its end."""

from __future__ import annotations

from struct import unpack

from sfumato.containers.limits import Limits
from sfumato.containers.source import Source
from sfumato.errors import Damaged

WINDOW = 1 << 16
"""bytes fetched at a time; headers are mostly small numbers"""


class Cursor:
    """The front of a GGUF file, read from left to right."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.offset = 0
        """of the next byte in the file"""
        self._window = b""
        self._start = 0
        self._text_left = limits.metadata_value

    @property
    def remaining(self) -> int:
        """Bytes from here to the end of the file."""
        return self.source.size - self.offset

    def take(self, size: int, what: str) -> bytes:
        """The next bytes; `what` names them in the error where the file ends before."""
        if size > self.remaining:
            raise self.damaged(f"{what} needs {size} bytes where {self.remaining} are left")
        begin = self.offset - self._start
        if begin + size > len(self._window):
            length = min(max(size, WINDOW), self.remaining)
            self._window, self._start, begin = self.source.read(self.offset, length), self.offset, 0
        self.offset += size
        return self._window[begin : begin + size]

    def number(self, form: str, size: int, what: str) -> int | float:
        """One little-endian number of the given struct form."""
        return unpack("<" + form, self.take(size, what))[0]

    def u32(self, what: str) -> int:
        """An unsigned integer of four bytes."""
        return int.from_bytes(self.take(4, what), "little")

    def u64(self, what: str) -> int:
        """An unsigned integer of eight bytes."""
        return int.from_bytes(self.take(8, what), "little")

    def count(self, what: str, least: int, most: int) -> int:
        """A number of things that take at least `least` bytes each, at most `most` of them."""
        found = self.u64(f"the number of {what}")
        if found * least > self.remaining:
            raise self.damaged(f"{found} {what} do not fit into the {self.remaining} bytes left")
        if found > most:
            raise self.damaged(f"{found} {what} are more than the {most} that are read")
        return found

    def text(self, what: str, most: int) -> str:
        """A text with its length before it; what is not UTF-8 is replaced."""
        return self._counted(what, most).decode("utf-8", "replace")

    def _counted(self, what: str, most: int) -> bytes:
        size = self.u64(f"the length of {what}")
        if size > most:
            raise self.damaged(f"{what} has {size} bytes, more than the {most} that are read")
        self._text_left -= size
        if self._text_left < 0:
            raise self.damaged(
                f"more than {self.limits.metadata_value} bytes of text before {what}"
            )
        return self.take(size, what)

    def name(self, what: str) -> str:
        """A text that must be UTF-8 and not empty: a key, or a tensor's name."""
        raw = self._counted(what, self.limits.name_bytes)
        if not raw:
            raise self.damaged(f"{what} is empty")
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise self.damaged(f"{what} is not UTF-8") from error

    def skip(self, size: int, what: str) -> None:
        """Leave bytes out without fetching them."""
        if size > self.remaining:
            raise self.damaged(f"{what} needs {size} bytes where {self.remaining} are left")
        self.offset += size
        if self.offset > self._start + len(self._window):
            self._window, self._start = b"", self.offset

    def damaged(self, reason: str) -> Damaged:
        """The error of this file at this place."""
        return Damaged(self.source.path, f"GGUF at offset {self.offset}: {reason}")
