"""A run carried out by a command: loaded, trained, told of, and saved where it is stopped."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sfumato.app.cli.console import complain
from sfumato.app.cli.training.stopping import Stopping
from sfumato.app.cli.training.telling import Telling, line, moving
from sfumato.app.cli.writing import JSON_ASKED
from sfumato.errors import MissingExtra, SfumatoError, UsageError
from sfumato.library.find import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfumato.training.settings import Run
    from sfumato.training.trainee import Trainee


def teach(run: Run, given: Mapping[str, Any], *, as_json: bool) -> None:
    """Train, or only say what would be done; exits with a signal's status where one came."""
    telling = Telling(as_json, Path(run.output))
    if as_json:
        # From here on an error is a line like all others.
        click.get_current_context().meta[JSON_ASKED] = False
    try:
        trainee = prepared(run, given)
        if given["dry_run"]:
            _foretell(run, trainee, telling)
            return
        status = _train(run, trainee, telling)
    except SfumatoError as error:
        if as_json:
            line("event", "error", error=str(error), status=error.exit_status)
        raise
    if status:
        sys.exit(status)


def prepared(run: Run, given: Mapping[str, Any]) -> Trainee:
    """The model and the pictures of a run; raises MissingExtra without torch."""
    shelf = Shelf.from_environment(given["models"] or ())
    try:
        from sfumato.engine.loading.placement import placement
        from sfumato.training.prepare import prepare
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "tokenizers"):
            raise
        raise MissingExtra("training needs: pip install 'sfumato[train]'") from error

    device = placement(given["device"] or "auto", "fp32").device
    return prepare(run, device=device, resolve=_resolver(shelf))


def _resolver(shelf: Shelf) -> Callable[[str, str], Path]:
    def resolve(kind: str, name: str) -> Path:
        if kind != "vae":
            return shelf.resolve("checkpoint", name).path
        try:
            return shelf.resolve("vae", name).path
        except UsageError:
            return shelf.resolve("checkpoint", name).path

    return resolve


def _foretell(run: Run, trainee: Trainee, telling: Telling) -> None:
    from sfumato.training.events import Note
    from sfumato.training.foresight import foresee

    for sentence in (*trainee.notes, *foresee(run, trainee)):
        telling.tell(Note(sentence))


def _train(run: Run, trainee: Trainee, telling: Telling) -> int:
    """The exit status: of the signal that stopped it, or 0."""
    from sfumato.training.loop import train

    with moving() as telling.move, Stopping() as stopping, closing(train(run, trainee)) as events:
        for event in events:
            telling.tell(event)
            if stopping.asked:
                break
    if stopping.asked and not telling.as_json:
        after = f"after step {telling.pace.step}" if telling.pace.step else "before the first step"
        complain(f"sfumato: stopped {after}; `sfumato train resume {_folder(run)}` goes on")
    return stopping.status if stopping.asked else 0


def _folder(run: Run) -> Path:
    from sfumato.training.state import run_folder

    return run_folder(run.output)
