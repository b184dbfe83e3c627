"""`sfumato starter`: the small models that ship with the program, and training one of them."""

from __future__ import annotations

from pathlib import Path

import click

from sfumato.app.cli.console import emit_json, human, say
from sfumato.app.cli.painting.values import number
from sfumato.app.cli.writing import HELP, json_option
from sfumato.errors import UsageError
from sfumato.starter.wares import MODELS, WARES, Ware, shipped

EXAMPLE = "Example: sfumato starter list"


@click.group(context_settings=HELP, epilog=EXAMPLE)
def command() -> None:
    """Small models that ship with Sfumato: a checkpoint and what changes how it paints.

    Their names go wherever a model is named. Docs: docs/starter.md.
    """


@command.command("list", context_settings=HELP, epilog=EXAMPLE)
@json_option("Tell it as JSON.")
def listed(as_json: bool) -> None:
    """List the starter files, and what to try with each."""
    wares = list(shipped())
    if as_json:
        emit_json([{
            "name": ware.name, "kind": ware.kind, "what": ware.what, "size": ware.size,
            "path": str(ware.path), "example": f"sfumato {ware.example}",
        } for ware in wares])  # fmt: skip
        return
    if not wares:
        raise UsageError(f"this installation holds no starter files: {MODELS} is empty")
    wide = max(len(ware.name) for ware in wares)
    for ware in wares:
        say(f"{ware.name:<{wide}}  {ware.kind:<12}  {human(ware.size):>7}  {ware.what}")
        say(f"{'':<{wide + 25}}$ sfumato {ware.example}")


@command.command("path", context_settings=HELP, epilog="Example: sfumato starter path inkline")
@click.argument("name", required=False)
def path(name: str | None) -> None:
    """Print where the starter file NAME lies, or the folder of them all."""
    say(str(MODELS if name is None else _named(name).path))


def _named(name: str) -> Ware:
    from difflib import get_close_matches

    here = {ware.name: ware for ware in shipped()}
    if name in here:
        return here[name]
    near = get_close_matches(name, here, 1)
    known = f"the nearest is {near[0]}" if near else f"there are {', '.join(here)}"
    missing = " in this installation" if name in {ware.name for ware in WARES} else ""
    raise UsageError(f"there is no starter file {name!r}{missing}; {known}")


@command.command(
    "train", context_settings=HELP, epilog="Example: sfumato starter train --minutes 5"
)
@click.option("--minutes", type=number(0), default=5.0, metavar="N", help="How long. [5]")
@click.option(
    "-o", "--output", default="starter-training", metavar="DIR",
    help="Folder for the three editions. [starter-training]",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Begin again where a run lies in DIR already.")
@json_option("Tell every event as a line of JSON.")
def train(minutes: float, output: str, force: bool, as_json: bool) -> None:
    """Train the starter for some minutes, and keep all three editions of what comes out.

    It learns to draw in ink from 48 pictures. DIR then holds the whole training state (.ckpt, with
    optimizer), the pruned edition (trained and averaged weights) and the averaged weights alone,
    and compared.png: the same prompts painted by the weights before, the trained ones and the
    averages.
    """
    from sfumato.app.cli.training.lesson import teach_starter

    teach_starter(Path(output), minutes, force=force, as_json=as_json)
