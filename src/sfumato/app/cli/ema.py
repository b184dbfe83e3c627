"""`sfumato ema`: use, drop, take out or measure the averaged weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from sfumato.app.cli.console import emit_json, progress, say
from sfumato.app.cli.writing import HELP, form_options, output_options, required, tell

if TYPE_CHECKING:
    from sfumato.catalogue.averages import Averages

Action = Literal["use", "drop", "extract"]

BAR = 40
"""characters of the longest bar"""


@click.command(
    context_settings=HELP,
    epilog="Example: sfumato ema v1-5-pruned.ckpt --use -o v1-5-emaonly.safetensors --dtype f16",
)
@click.argument("source", metavar="MODEL")
@click.option("--use", "action", flag_value="use", help="Averages in place of trained weights.")
@click.option("--drop", "action", flag_value="drop", help="Trained weights only.")
@click.option("--extract", "action", flag_value="extract", help="The averaged network only.")
@click.option("--distance", "action", flag_value="distance", help="Only measure; write nothing.")
@output_options
@form_options
def command(
    source: str,
    *,
    action: str | None,
    output: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    dtype: str | None,
    container: str | None,
    strict: bool,
) -> None:
    """Make a file with one set of weights out of one that holds the trained and the averaged.

    Publishers call the result of --use "EMA-only" or "pruned": it is what to paint with.
    --distance tells how far the two sets are apart, block by block.
    """
    if action is None:
        raise click.UsageError("say what to do: --use, --drop, --extract or --distance")
    if action == "distance":
        _measure(source, as_json=as_json)
        return
    from sfumato.operations.ema import ema

    with progress("ema") as bar:
        report = ema(
            source,
            required(output),
            action=_action(action),
            dtype=dtype,
            container=container,
            strict=strict,
            force=force,
            dry_run=dry_run,
            progress=bar,
        )
    tell(report, as_json=as_json)


def _action(text: str) -> Action:
    actions: dict[str, Action] = {"use": "use", "drop": "drop", "extract": "extract"}
    return actions[text]


def _measure(source: str, *, as_json: bool) -> None:
    from sfumato.operations.ema import distance

    with progress("ema") as bar:
        found = distance(source, progress=bar)
    if as_json:
        emit_json(
            {
                "pairs": found.pairs,
                "distance": found.distance,
                "furthest": found.furthest,
                "furthest_distance": found.furthest_distance,
                "blocks": dict(found.blocks),
                "left_out": list(found.left_out),
            }
        )
    else:
        _chart(found)


def _chart(found: Averages) -> None:
    say(f"averaged and trained weights differ by {found.distance:.2%} over {found.pairs} tensors")
    longest = max(found.blocks.values(), default=0.0)
    for block, distance in found.blocks.items():
        bar = "█" * round(BAR * distance / longest) if longest else ""
        say(f"  {block:<20} {distance:>8.2%}  {bar}")
    if found.left_out:
        say(f"  {len(found.left_out)} pairs could not be compared")
