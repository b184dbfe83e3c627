"""How the commands speak: results on standard output, progress and complaints on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from sfumato.containers.sizes import human as human

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[int, int], None]
"""called with bytes done and bytes in all"""

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def say(text: str) -> None:
    """One line of a result."""
    click.echo(text)


def complain(text: str) -> None:
    """One line that is not a result: a refusal, a warning."""
    click.echo(text, err=True)


def emit_json(value: Json) -> None:
    """A result for programs, indented; ASCII, so that no text of a file can drive a terminal."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def paper() -> Console:
    """The rich console on standard output; plain text where that is not a terminal."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


@contextmanager
def progress(label: str) -> Generator[Progress]:
    """A bar on standard error for work that may take more than a second.

    Yields a callback for (bytes done, bytes in all). Silent where standard error is no terminal.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeLeft(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def counting(label: str) -> Generator[Progress]:
    """The same for work that is counted in things: yields a callback for (done, in all)."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeLeft())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
