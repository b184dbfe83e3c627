"""The one error tree: what can go wrong with a model file, and the exit status it gives.

SfumatoError                 1   failed
├── UsageError               2   the request itself makes no sense
├── Refused                  1   a sensible request that would lose something if carried out
│   ├── OutputExists         1   the output is already there and may not be overwritten
│   └── NoRoom               1   the disk has not enough free space for the output
├── Unverified               1   what was written does not read back as what was meant
├── MissingExtra             1   an optional package is needed, and this is how to install it
├── Unreadable               1   the operating system would not give the file's bytes
├── Dangerous                3   reading the file the usual way would run foreign code
└── BadFile                  4
    ├── NotAModel            4   something else entirely: a web page, an archive, a picture
    ├── Damaged              4   breaks the rules of its own format, or ends too early
    └── Unsupported          4   a model file of a sort that is known, named and not read
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from os import PathLike

    from sfumato.containers.journal import Journal


class SfumatoError(Exception):
    """Anything this package refuses or fails to do; its text is one sentence for a person."""

    exit_status: ClassVar[int] = 1


class UsageError(SfumatoError):
    """The request itself makes no sense: an unknown dtype, a part that does not exist."""

    exit_status = 2


class Refused(SfumatoError):
    """The request is sensible, but carrying it out here would lose something."""


class OutputExists(Refused):
    """The output is already there and overwriting was not asked for."""


class NoRoom(Refused):
    """The disk has not enough free space for the output."""


class Unverified(SfumatoError):
    """What was written does not read back as what was meant; the old file is untouched."""


class MissingExtra(SfumatoError):
    """An optional package is needed; the message holds the line that installs it."""


class FileError(SfumatoError):
    """A file that cannot be used, with its path, the reason, and what was seen before it failed."""

    def __init__(
        self, path: str | PathLike[str], reason: str, *, journal: Journal | None = None
    ) -> None:
        self.path = str(path)
        """the file, as the caller named it"""
        self.reason = reason
        """one clause: what, where, expected, found"""
        self.journal = journal
        """imports and calls seen before the failure: an error never erases evidence"""
        # A file's name is as foreign as its bytes: nothing in it may move a cursor.
        shown = self.path if self.path.isprintable() else ascii(self.path)[1:-1]
        super().__init__(f"{shown}: {reason}")


class Unreadable(FileError):
    """The operating system would not give the file's bytes (missing, no permission, not a file)."""


class Dangerous(FileError):
    """Reading the file the usual way would run foreign code; `journal` lists what."""

    exit_status = 3


class BadFile(FileError):
    """The bytes are there and are not a usable model."""

    exit_status = 4
    verdict: ClassVar[str] = "damaged"
    """the word the card uses"""


class NotAModel(BadFile):
    """Something else entirely: a web page, a download pointer, an archive, a picture."""

    verdict = "not-a-model"


class Damaged(BadFile):
    """Breaks the rules of its own format, or ends before it should."""

    verdict = "damaged"


class Unsupported(BadFile):
    """A model file of a sort that is known and named, and not read."""

    verdict = "unsupported"
