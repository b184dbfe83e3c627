"""A signal that asks a run to stop: the first lets it save, the second ends it at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

FIRST = b"\nstopping: the run is saved after this batch; once more stops at once\n"

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """A block in which SIGINT and SIGTERM are noted, and the second one interrupts."""

    def __init__(self) -> None:
        self.asked: int = 0
        """number of the signal that came; 0 for none"""
        self._before: dict[int, Any] = {}

    @property
    def status(self) -> int:
        """The exit status that shells give to the signal."""
        return 128 + self.asked

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = number
        # Printing is not allowed here: the signal may have come in the middle of it.
        os.write(2, FIRST)
