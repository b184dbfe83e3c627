"""A picture together with how it was made."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.containers.atomic import replacing, translated
from sfumato.engine.pictures.infotext import Record, write_text
from sfumato.engine.pictures.program import PROGRAM, VERSION
from sfumato.engine.pictures.used import FileUsed
from sfumato.engine.pictures.write import Texts, encode, plain
from sfumato.engine.request import Request
from sfumato.errors import Refused

if TYPE_CHECKING:
    from PIL.Image import Image

QUALITY = 95
"""of JPEG and WebP"""

_NUMBERED = re.compile(r"(\d{5,9})(?:[-.].*)?")


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture that was painted."""

    image: Image
    record: Record
    seed: int
    files: tuple[FileUsed, ...] = ()
    """every file that had a part in it"""
    notes: tuple[str, ...] = ()
    """what its maker should know, one sentence each"""
    request: Request | None = None
    """what was asked for; one request may give several pictures"""

    def save(
        self, path: str | os.PathLike[str], *, quality: int = QUALITY, overwrite: bool = False
    ) -> Path:
        """Write the picture with its record; PNG, JPEG or WebP, as the ending of `path` says.

        The file takes its place when it is complete, or not at all. `quality` is 1 to 100 (WebP at
        100 is lossless; PNG always is). Raises OutputExists where a file is there and `overwrite`
        is not said, NoRoom, Refused, and UsageError for an unknown ending.
        """
        target = Path(path)
        data = encode(self.image, self.texts(), target, quality)
        with replacing(target, len(data), force=overwrite) as sink:
            sink.write(data)
        return target

    def save_numbered(
        self, folder: str | os.PathLike[str], *, suffix: str = ".png", quality: int = QUALITY
    ) -> Path:
        """Write the picture into `folder` (made if need be) as `00007-1234567.png`.

        The number is one more than the largest there, the rest is the seed. No two programs that
        do so at once take the same name, and a picture that cannot be written leaves none.
        """
        path = reserve(Path(folder), self.seed, suffix)
        try:
            return self.save(path, quality=quality, overwrite=True)
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise

    def texts(self) -> Texts:
        """What is written beside the pixels."""
        return Texts(plain(write_text(self.record)), self.to_json(), PROGRAM)

    def to_json(self) -> str:
        """Our own chunk: the program's version, and every file by its sha256; ASCII."""
        files = [
            {
                "kind": file.kind,
                "name": file.name,
                "file": Path(file.path).name,  # folders are nobody's business
                "sha256": file.sha256,
                **({"autov3": file.autov3} if file.autov3 else {}),
            }
            for file in self.files
        ]
        fields = self.record.fields
        loaded = {key.lower(): fields[key] for key in ("Weights", "Precision") if key in fields}
        return json.dumps(
            {
                "version": VERSION,
                "seed": self.seed,
                **loaded,
                "files": files,
                "notes": [*self.notes],
            }
        )


def reserve(folder: Path, seed: int, suffix: str = ".png") -> Path:
    """An empty file under the next free number of a folder, for a picture to replace."""
    with translated(folder, 0):
        folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max(_numbers(folder), default=-1)
        while number < 10**9:
            path = folder / f"{number:05d}-{seed}{suffix}"
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            except FileExistsError:
                number += 1
            else:
                return path
    raise Refused(f"{folder}: has no number left for another picture")


def _numbers(folder: Path) -> list[int]:
    found = (_NUMBERED.fullmatch(entry.name) for entry in os.scandir(folder))
    return [int(match[1]) for match in found if match is not None]
