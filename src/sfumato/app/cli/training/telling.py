"""What a person or a program is told of a run while it goes on."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import click

from sfumato.app.cli.console import complain, say
from sfumato.app.cli.training.pace import Pace
from sfumato.training.events import (
    Accumulated,
    Event,
    Kept,
    Note,
    Prepared,
    Stepped,
    Validated,
    Written,
)

QUIET = 30.0
"""seconds between two lines where there is no terminal for a bar"""

Move = Callable[[str, int, int], None]
"""called with words, what is done, and all there is"""


@contextmanager
def moving() -> Generator[Move | None]:
    """A bar on standard error; None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda words, done, total: bar.update(
            task, description=words, completed=done, total=total
        )


@dataclass(slots=True)
class Telling:
    """Tells of events: sentences and a bar, or a line of JSON for each."""

    as_json: bool
    output: Path
    move: Move | None = None
    pace: Pace = field(default_factory=Pace)
    told: float = 0.0
    """when the last line was written"""

    def tell(self, event: Event) -> None:
        """One event."""
        if self.as_json:
            emit(event)
            return
        match event:
            case Prepared():
                self._moved("pictures encoded", event.done, event.total)
            case Stepped():
                self.pace.add(event, time.monotonic())
                self._moved(self.pace.sentence(), event.step, event.steps)
            case Accumulated():
                pass
            case Validated():
                average = "" if event.average is None else f", averaged weights {event.average:.5f}"
                complain(f"  step {event.step}: validation loss {event.loss:.5f}{average}")
            case Kept():
                complain(f"  step {event.step}: saved {event.folder}")
            case Written():
                final = event.path.parent == self.output.parent
                say(str(event.path)) if final else complain(f"  wrote {event.path}")
            case Note():
                complain(f"  {event.text}")

    def _moved(self, words: str, done: int, total: int) -> None:
        now = time.monotonic()
        if self.move is not None:
            self.move(words, done, total)
        elif now - self.told > QUIET:
            self.told = now
            complain(f"  {done} of {total}: {words}")


def emit(event: Event) -> None:
    """One event as a line of JSON."""
    fields = cast("dict[str, object]", asdict(event))
    line("event", type(event).__name__.lower(), **fields)


def line(key: str, value: str, **fields: object) -> None:
    """One JSON object on a line of its own, at once."""
    plain = {k: str(v) if isinstance(v, Path) else v for k, v in fields.items()}
    click.echo(json.dumps({key: value, **plain}))
    sys.stdout.flush()
