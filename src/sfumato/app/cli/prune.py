"""`sfumato prune`: drop what a model does not need."""

from __future__ import annotations

import click

from sfumato.app.cli.console import progress
from sfumato.app.cli.model_name import named_model
from sfumato.app.cli.writing import HELP, beside, form_options, output_options, required, tell


@click.command(
    context_settings=HELP,
    epilog="Example: sfumato prune training.ckpt -o slim.safetensors --dry-run",
)
@click.argument("source", type=named_model, metavar="MODEL")
@output_options
@form_options
@click.option(
    "--drop", metavar="SORT[,SORT…]",
    help="optimizer, training, loss, ema, buffers, unknown; the first three if not given.",
)  # fmt: skip
def command(
    source: str,
    *,
    output: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    dtype: str | None,
    container: str | None,
    strict: bool,
    drop: str | None,
) -> None:
    """Write MODEL without what it does not need for painting.

    By default only what no picture depends on goes: optimizer state, training bookkeeping, losses.
    --drop ema keeps the trained weights; `sfumato ema --use` keeps the averaged ones instead.
    Storage that no tensor uses is never written.
    """
    from sfumato.operations.prune import USUAL, prune

    with progress("prune") as bar:
        report = prune(
            source,
            required(output, stand_in=beside(source, "pruned.safetensors", dry_run=dry_run)),
            drop=USUAL if drop is None else [name.strip() for name in drop.split(",")],
            dtype=dtype,
            container=container,
            strict=strict,
            force=force,
            dry_run=dry_run,
            progress=bar,
        )
    tell(report, as_json=as_json)
