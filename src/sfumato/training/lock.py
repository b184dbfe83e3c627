"""One process at a time trains a run: a lock that ends with its process, however that ends."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sfumato.errors import Refused

NAME = ".lock"


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Hold a run's folder; raises Refused where another process holds it."""
    if sys.platform == "win32":  # files that are open cannot be replaced there anyway
        yield
        return
    import fcntl

    with (folder / NAME).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(f"{folder}: another process trains this run") from error
        yield
