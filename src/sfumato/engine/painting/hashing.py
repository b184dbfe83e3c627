"""Which files a picture was made with, told by their hashes, which are worked out only once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Thread

from sfumato.containers.hashes import hash_file
from sfumato.containers.source import Source
from sfumato.engine.loading.cache import Stamp, stamps
from sfumato.engine.pictures.used import FileUsed, Kind
from sfumato.errors import SfumatoError

CHUNK = 1 << 22
"""bytes hashed at a time"""


class Hashing:
    """Hashes of files by path, size and time of writing; large ones are worked out beside."""

    def __init__(self) -> None:
        self._known: dict[tuple[Stamp, ...], tuple[str, str]] = {}
        self._running: dict[tuple[Stamp, ...], Thread] = {}

    def begin(self, path: Path) -> None:
        """Start on a file in a thread of its own, so that its hash is there when it is asked for.

        The thread does not outlive the program.
        """
        key = stamps(path)
        if key not in self._known and key not in self._running and path.is_file():
            thread = Thread(target=self._hash, args=(path, key, False), daemon=True)
            self._running[key] = thread
            thread.start()

    def used(self, kind: Kind, name: str, path: Path) -> FileUsed:
        """A file with its hashes; both empty for a folder, and for a file that is gone."""
        key = stamps(path)
        thread = self._running.pop(key, None)
        if thread is not None:
            thread.join()
        if key not in self._known:
            self._hash(path, key, kind == "lora")
        sha256, autov3 = self._known.get(key, ("", ""))
        return FileUsed(kind, name, str(path), sha256, autov3)

    def _hash(self, path: Path, key: tuple[Stamp, ...], both: bool) -> None:
        """both: also of the tensors alone, by which A1111 knows LoRAs."""
        if not path.is_file():
            return
        try:
            if both:
                found = hash_file(path)
                self._known[key] = (found.sha256, found.payload)
            else:
                self._known[key] = (_sha256(path), "")
        except SfumatoError:
            self._known[key] = ("", "")  # gone or cut short meanwhile: nothing can be said of it


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with Source(path) as source:
        for chunk in source.chunks(0, source.size, CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
