"""`sfumato split` and `sfumato join`: a checkpoint's parts to files of their own, and back."""

from __future__ import annotations

from typing import cast

import click

from sfumato.app.cli.console import Json, emit_json, progress
from sfumato.app.cli.model_name import named_model
from sfumato.app.cli.writing import HELP, beside, json_option, output_options, required, tell


@click.command(
    context_settings=HELP,
    epilog="Example: sfumato split v1-5-pruned-emaonly.safetensors -o parts",
)
@click.argument("source", type=named_model, metavar="MODEL")
@click.option("-o", "--output", metavar="FOLDER", help="Folder for the parts; made if need be.")
@click.option("--prefixes", is_flag=True, help="Keep the names that tensors have in MODEL.")
@click.option("--force", is_flag=True, help="Replace parts that are there.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@json_option("Tell what was done as JSON.")
def split(
    source: str,
    *,
    output: str | None,
    prefixes: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write UNet, VAE and text encoders of MODEL to unet.safetensors, vae.safetensors …

    Names lose the part's prefix, as programs like it that load single parts. Averages and training
    state belong to no part and stay behind, which is told.
    """
    folder = output or beside(source, "parts", dry_run=dry_run)
    if not folder:
        raise click.UsageError("say where to: -o FOLDER")
    from sfumato.operations.split import split as divide

    with progress("split") as bar:
        reports = divide(
            source, folder, prefixes=prefixes, force=force, dry_run=dry_run, progress=bar
        )
    if as_json:
        emit_json([cast("Json", report.to_json()) for report in reports])
        return
    for report in reports:
        tell(report, as_json=False)


@click.command(
    context_settings=HELP,
    epilog="Example: sfumato join unet.safetensors vae.safetensors text_encoder.safetensors "
    "-o whole.safetensors",
)
@click.argument("sources", type=named_model, nargs=-1, required=True, metavar="PART...")
@output_options
def join(
    sources: tuple[str, ...],
    *,
    output: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put a UNet, a VAE and text encoders together into one checkpoint.

    What a PART is, its shapes tell, never its file name. It may be bare, under the prefix of a
    checkpoint, or in the spelling of diffusers.
    """
    from sfumato.operations.join import join as put_together

    with progress("join") as bar:
        target = required(
            output, stand_in=beside(sources[0], "joined.safetensors", dry_run=dry_run)
        )
        report = put_together(sources, target, force=force, dry_run=dry_run, progress=bar)
    tell(report, as_json=as_json)
