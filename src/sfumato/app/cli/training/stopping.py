"""A signal that asks a run to stop: the first lets it save, the second ends it at once."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

FIRST = b"\nstopping: the run is saved after this batch; once more stops at once\n"

HANGUP: int = getattr(signal, "SIGHUP", 0)
"""a terminal that is closed; 0 on Windows, which has none"""

SIGNALS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, *((HANGUP,) if HANGUP else ()))


class Stopping:
    """A block in which SIGNALS are noted, and the second one interrupts.

    A hangup never does: systems send one together with another signal. Where it is ignored, as
    `nohup` has it, it stays so.
    """

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
            deaf = HANGUP if HANGUP and signal.getsignal(HANGUP) is signal.SIG_IGN else 0
            heard = [number for number in SIGNALS if number != deaf]
            self._before = {number: signal.signal(number, self._note) for number in heard}
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
        if number == HANGUP and self.asked:
            return
        if self.asked and self.asked != HANGUP:
            raise KeyboardInterrupt
        self.asked = number
        # Printing is not allowed here: the signal may have come in the middle of it.
        with suppress(OSError):  # the terminal may be gone
            os.write(2, FIRST)
