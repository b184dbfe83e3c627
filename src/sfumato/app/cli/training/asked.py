"""The run that a command line asks for: a file of settings, options over it, `--set` over all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sfumato.app.cli.training.options import settings_from
from sfumato.containers.text import escape
from sfumato.errors import OutputExists, UsageError
from sfumato.training.configuration import changed, read_run, said, with_settings
from sfumato.training.settings import Kind, Run
from sfumato.training.state import CONFIGURATION, run_folder

KIND = re.compile(r"(?m)^\s*kind\s*=")
"""where a file of settings says what it trains"""

USUAL: Mapping[Kind, Mapping[str, object]] = {
    "checkpoint": {"optimizer.rate": 1e-5, "ema.decay": 0.999},
    "lora": {},
    "embedding": {"optimizer.rate": 5e-3, "optimizer.weight_decay": 0.0},
    "hypernetwork": {"optimizer.rate": 1e-5},
    "vae": {"optimizer.rate": 1e-5, "ema.decay": 0.999},
}
"""what a command takes where neither a file nor an option says it, if it is not the default"""


def asked(kind: Kind, pictures: str | None, given: Mapping[str, Any]) -> Run:
    """The run of `train KIND`; raises UsageError for what is missing or makes no sense."""
    options = settings_from(given)
    if pictures is not None:
        options["data.folder"] = pictures
    text = _text(Path(given["config"])) if given["config"] else ""
    usual: Mapping[str, object] = {} if text else USUAL[kind]
    settings = {name: said(value) for name, value in {**usual, **options}.items()}
    if KIND.search(text) is None:
        settings["kind"] = said(kind)
    run = changed(text, {**settings, **pairs(given["set"])}, given["config"] or "the command line")
    if run.kind != kind:
        raise UsageError(f"{given['config']} is for `sfumato train {run.kind}`, not for {kind}")
    return run


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{escape(str(path))} cannot be read: {error}") from error


def pairs(given: tuple[str, ...] | None) -> dict[str, str]:
    """What `--set KEY=VALUE` says."""
    found: dict[str, str] = {}
    for text in given or ():
        key, sign, value = text.partition("=")
        if not sign:
            raise click.UsageError(f"--set {text}: written KEY=VALUE, as in data.flip=true")
        found[key.strip()] = value.strip()
    return found


def again(place: Path, given: Mapping[str, Any]) -> Run:
    """The run of `train resume`: as it was started, with what is given now.

    place: its folder, or the file that it writes.
    """
    folder = place if place.suffix == ".run" or place.is_dir() else run_folder(str(place))
    path = folder / CONFIGURATION
    if not path.is_file():
        raise UsageError(
            f"{escape(str(folder))} is no folder of a run: it holds no {CONFIGURATION}"
        )
    run = read_run(path)
    # A folder that was moved goes on where it is now.
    run = replace(run, output=str(folder.parent / Path(run.output).name))
    if given["steps"]:
        run = replace(run, steps=given["steps"])
    return with_settings(run, pairs(given["set"]))


def check_output(run: Run, *, force: bool) -> None:
    """Raises OutputExists where the output is there and is not this run's own."""
    own = (run_folder(run.output) / CONFIGURATION).is_file()
    if Path(run.output).exists() and not own and not force:
        raise OutputExists(f"{run.output}: is already there (force it to overwrite)")
