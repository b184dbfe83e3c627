"""`sfumato convert`: the same model in another container, dtype or spelling."""

from __future__ import annotations

import click

from sfumato.app.cli.console import progress
from sfumato.app.cli.model_name import named_model
from sfumato.app.cli.writing import HELP, beside, form_options, output_options, required, tell


@click.command(
    context_settings=HELP,
    epilog="Example: sfumato convert anything-v3.ckpt -o anything-v3.safetensors --dtype f16",
)
@click.argument("source", type=named_model, metavar="MODEL")
@output_options
@form_options
@click.option("--spelling", metavar="NAMES", help="ldm or diffusers: whose names to use.")
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
    spelling: str | None,
) -> None:
    """Write MODEL in another container, float type or spelling of names.

    The ending of FILE says the container: .safetensors, .ckpt .pt .pth .bin, .gguf, .png (an
    embedding), or none for a diffusers folder. --dtype q8_0 quantises, in GGUF. Integers and
    position ids are never cast. The output is read back and compared before it is put in place.
    """
    from sfumato.operations.convert import QUANTISED, convert

    ending = "converted.gguf" if dtype == QUANTISED else "converted.safetensors"
    with progress("convert") as bar:
        report = convert(
            source,
            required(output, stand_in=beside(source, ending, dry_run=dry_run)),
            dtype=dtype,
            container=container,
            spelling=spelling,
            strict=strict,
            force=force,
            dry_run=dry_run,
            progress=bar,
        )
    tell(report, as_json=as_json)
