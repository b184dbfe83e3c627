"""`sfumato inspect`: what files are, one card each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sfumato.app.cli.console import Json, complain, emit_json, progress
from sfumato.app.cli.model_name import named_model
from sfumato.errors import SfumatoError

if TYPE_CHECKING:
    from sfumato.catalogue.cards.card import Card

STATUS = {"clean": 0, "dangerous": 3}
"""exit status by verdict; every other verdict is 4"""


@click.command(
    epilog="Example: sfumato inspect --hash ~/models/anything-v3.ckpt",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("paths", type=named_model, nargs=-1, required=True, metavar="PATH...")
@click.option("--hash", "hashes", is_flag=True, help="Compute all hashes; name published files.")
@click.option("--deep", is_flag=True, help="Read the numbers too: NaN, Inf, zeros, overflow.")
@click.option("--fingerprint", is_flag=True, help="Compute what no cast or container changes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schema: docs/inspect-json.md).")
@click.option("--full", is_flag=True, help="Show every key, event and metadata value.")
def command(
    paths: tuple[str, ...],
    *,
    hashes: bool,
    deep: bool,
    fingerprint: bool,
    as_json: bool,
    full: bool,
) -> None:
    """Say what files are, whether they are safe, and what to do with them.

    PATH is a file, a folder (searched for models) or a pattern. Nothing in a file is executed, and
    without --hash, --deep and --fingerprint no tensor is read but the alphas of a LoRA, which are
    single numbers.
    A bad file never stops the rest.

    The exit status is 0 where all files are clean, 3 where one is dangerous, else 4 where one is
    damaged or not a model, 1 where one could not be read.
    """
    status = 0
    cards: list[Json] = []
    several = alone = False
    for path, named in _expand(paths):
        alone = named and len(paths) == 1
        found = _one(path, hashes=hashes, deep=deep, fingerprint=fingerprint)
        if not named and _is_mere_picture(path, found):
            continue
        if isinstance(found, SfumatoError):
            status = _worse(status, found.exit_status)
            complain(f"sfumato: {found}")
            if as_json:
                cards.append({"path": str(path), "verdict": "unreadable", "message": str(found)})
            continue
        status = _worse(status, STATUS.get(found.verdict, 4))
        if as_json:
            from sfumato.catalogue.cards.json_form import to_json

            cards.append(to_json(found))
        else:
            _show(found, full=full, blank=several)
        several = True
    if not several and not status:
        complain(f"sfumato: no model files in {', '.join(paths)}")
        status = 1
    if as_json:
        emit_json(cards[0] if alone and len(cards) == 1 else cards)
    sys.exit(status)


def _one(path: Path, *, hashes: bool, deep: bool, fingerprint: bool) -> Card | SfumatoError:
    from sfumato.catalogue.cards.inspect import inspect

    try:
        with progress(path.name) as bar:
            card = inspect(path, hashes=hashes, deep=deep, progress=bar)
        return _with_fingerprints(card) if fingerprint and card.verdict == "clean" else card
    except SfumatoError as error:
        return error


def _with_fingerprints(card: Card) -> Card:
    """The card with what operations compute: the catalogue itself does not."""
    from dataclasses import replace

    from sfumato.operations.comparing.fingerprints import fingerprints

    with progress(f"fingerprint of {card.path.name}") as bar:
        return replace(card, fingerprints=fingerprints(card.path, progress=bar))


def _is_mere_picture(path: Path, found: Card | SfumatoError) -> bool:
    """True for the previews that lie between models: nobody asked what they are."""
    from sfumato.containers.discover import PICTURES

    if isinstance(found, SfumatoError):
        return False
    return found.verdict == "not-a-model" and path.suffix.lower() in PICTURES


def _show(card: Card, *, full: bool, blank: bool) -> None:
    from sfumato.app.cli.card import show

    if blank:
        click.echo()
    show(card, full=full)


SEVERITY = (0, 1, 4, 3)
"""exit statuses, the more telling later"""


def _worse(a: int, b: int) -> int:
    return max(a, b, key=SEVERITY.index)


def _expand(paths: tuple[str, ...]) -> Iterator[tuple[Path, bool]]:
    """Paths to look at, each with whether it was named rather than found in a folder."""
    from sfumato.containers.discover import discover, is_model_folder

    for text in paths:
        path = Path(text)
        if path.is_dir() and not is_model_folder(path):
            yield from ((found, False) for found in discover(path))
        elif not path.exists() and any(mark in text for mark in "*?["):
            yield from _matching(text)
        else:
            yield path, True


def _matching(pattern: str) -> Iterator[tuple[Path, bool]]:
    anchor = Path(pattern).anchor
    found = sorted(str(path) for path in Path(anchor).glob(pattern.removeprefix(anchor)))
    if not found:
        raise click.UsageError(f"no file matches {pattern!r}")
    yield from _expand(tuple(found))
