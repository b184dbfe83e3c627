"""`sfumato ema`: use, drop, take out or measure the averaged weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from sfumato.app.cli.console import emit_json, progress, say
from sfumato.app.cli.model_name import named_model
from sfumato.app.cli.writing import HELP, beside, form_options, output_options, required, tell

if TYPE_CHECKING:
    from sfumato.catalogue.numbers.averages import Averages

Action = Literal["use", "drop", "extract"]

BAR = 40
"""characters of the longest bar"""


@click.command(
    context_settings=HELP,
    epilog="Example: sfumato ema v1-5-pruned.ckpt --use -o v1-5-emaonly.safetensors --dtype f16",
)
@click.argument("source", type=named_model, metavar="MODEL")
@click.option("--use", is_flag=True, help="Averages in place of trained weights.")
@click.option("--drop", is_flag=True, help="Trained weights only.")
@click.option("--extract", is_flag=True, help="The averaged network only.")
@click.option("--distance", is_flag=True, help="Only measure; write nothing.")
@output_options
@form_options
def command(
    source: str,
    *,
    use: bool,
    drop: bool,
    extract: bool,
    distance: bool,
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
    action = _action(use=use, drop=drop, extract=extract, distance=distance)
    if action == "distance":
        _measure(source, as_json=as_json)
        return
    from sfumato.operations.ema import ema

    with progress("ema") as bar:
        report = ema(
            source,
            required(output, stand_in=beside(source, "ema.safetensors", dry_run=dry_run)),
            action=action,
            dtype=dtype,
            container=container,
            strict=strict,
            force=force,
            dry_run=dry_run,
            progress=bar,
        )
    tell(report, as_json=as_json)


def _action(
    *, use: bool, drop: bool, extract: bool, distance: bool
) -> Action | Literal["distance"]:
    """The one thing that was asked for."""
    if use + drop + extract + distance != 1:
        many = " one of" if use + drop + extract + distance else ""
        raise click.UsageError(f"say what to do:{many} --use, --drop, --extract or --distance")
    if distance:
        return "distance"
    if use:
        return "use"
    return "drop" if drop else "extract"


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
