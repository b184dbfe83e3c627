"""`sfumato vae`: a checkpoint's VAE taken out, or replaced by another."""

from __future__ import annotations

import click

from sfumato.app.cli.console import progress
from sfumato.app.cli.model_name import named_model
from sfumato.app.cli.writing import HELP, beside, form_options, output_options, required, tell

EXAMPLE = "Example: sfumato vae extract anything-v3.safetensors -o anything.vae.safetensors"


@click.group(context_settings=HELP, epilog=EXAMPLE)
def command() -> None:
    """Take the VAE out of a checkpoint, or put another into its place."""


@command.command("extract", context_settings=HELP, epilog=EXAMPLE)
@click.argument("source", type=named_model, metavar="MODEL")
@click.option(
    "--spelling", default="ldm", show_default=True, metavar="NAMES",
    help="ldm, which every program reads, or diffusers.",
)  # fmt: skip
@output_options
@form_options
def extract(
    source: str,
    *,
    spelling: str,
    output: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    dtype: str | None,
    container: str | None,
    strict: bool,
) -> None:
    """Write the VAE of MODEL to a file of its own, bit for bit unless --dtype is given."""
    from sfumato.operations.vae import vae_extract

    with progress("vae extract") as bar:
        report = vae_extract(
            source,
            required(output, stand_in=beside(source, "vae.safetensors", dry_run=dry_run)),
            spelling=spelling,
            dtype=dtype,
            container=container,
            strict=strict,
            force=force,
            dry_run=dry_run,
            progress=bar,
        )
    tell(report, as_json=as_json)


@command.command(
    "replace",
    context_settings=HELP,
    epilog="Example: sfumato vae replace model.safetensors vae-ft-mse.safetensors "
    "-o better.safetensors",
)
@click.argument("source", type=named_model, metavar="MODEL")
@click.argument("vae", type=named_model, metavar="VAE")
@output_options
@form_options
def replaced(
    source: str,
    vae: str,
    *,
    output: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    dtype: str | None,
    container: str | None,
    strict: bool,
) -> None:
    """Write MODEL with VAE, whole, in the place of its own.

    VAE may be a VAE's file or any model that has one, in any spelling. It is read first: one with
    NaN in it is not put anywhere.
    """
    from sfumato.operations.vae import vae_replace

    with progress("vae replace") as bar:
        report = vae_replace(
            source,
            required(output, stand_in=beside(source, "vae-replaced.safetensors", dry_run=dry_run)),
            vae=vae,
            dtype=dtype,
            container=container,
            strict=strict,
            force=force,
            dry_run=dry_run,
            progress=bar,
        )
    tell(report, as_json=as_json)
