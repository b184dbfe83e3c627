"""`sfumato lora translate`: the same LoRA in the names of other programs, or as plain LoRA."""

from __future__ import annotations

import click

from sfumato.app.cli.console import progress
from sfumato.app.cli.lora_options import file_options, model_option, rank_options
from sfumato.app.cli.model_name import named_model
from sfumato.app.cli.writing import HELP, beside, output_options, required, tell


@click.command(
    context_settings=HELP,
    epilog="Example: sfumato lora translate ink.safetensors -o ink-peft.safetensors "
    "--spelling diffusers",
)
@click.argument("source", type=named_model, metavar="LORA")
@output_options
@rank_options("Make plain LoRA of other kinds: so many ranks, or energy:0.99, error:0.1 …")
@model_option()
@file_options("kohya (the default), onetrainer, lycoris, comfyui, diffusers, diffusers-0.2.")
def command(
    source: str,
    *,
    output: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    rank: str | None,
    max_rank: int | None,
    exact: bool,
    seed: int,
    model: str | None,
    spelling: str | None,
    dtype: str | None,
    container: str | None,
) -> None:
    """Write LORA in another program's names.

    Every change is computed from both files and compared before anything is in place. With --rank,
    LoHa, LoKr and whole differences become plain LoRA; with --model too, so does every other kind.
    """
    from sfumato.operations.lora.translate import translate

    with progress("translate") as bar:
        report = translate(
            source,
            required(output, stand_in=beside(source, "translated.safetensors", dry_run=dry_run)),
            spelling=spelling or "kohya",
            rank=rank,
            max_rank=max_rank,
            model=model,
            exact=exact,
            seed=seed,
            dtype=dtype,
            container=container,
            force=force,
            dry_run=dry_run,
            progress=bar,
        )
    tell(report, as_json=as_json)
