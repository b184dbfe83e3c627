"""The bar that shows how far painting is, with steps per second; nothing where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Task
    from rich.text import Text

Advance = Callable[[str, int, int], None]
"""called with what is being done, the steps that are made, and all that there are"""


@contextmanager
def step_bar() -> Generator[Advance]:
    """A bar of steps on standard error. Silent where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield lambda label, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    class Speed(ProgressColumn):
        """Steps per second, or seconds per step where that is easier to read."""

        def render(self, task: Task) -> Text:
            return _speed(task.speed)

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Speed(), TimeLeft(),
    )  # fmt: skip
    console = Console(stderr=True)
    # Paths that go to a file or another program must not be drawn into the bar's terminal.
    both = sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, redirect_stdout=both) as bar:
        task = bar.add_task("load", total=None)
        yield lambda label, done, total: bar.update(
            task, description=label, completed=done, total=total
        )


def _speed(speed: float | None) -> Text:
    from rich.text import Text

    if not speed:
        return Text("")
    return Text(f"{speed:.2f} steps/s" if speed >= 1 else f"{1 / speed:.1f} s/step")
