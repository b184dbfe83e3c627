"""`sfumato lora resize`: the same LoRA at other ranks."""

from __future__ import annotations

import click

from sfumato.app.cli.console import progress
from sfumato.app.cli.lora_options import conv_option, file_options, model_option, rank_options
from sfumato.app.cli.model_name import named_model
from sfumato.app.cli.writing import HELP, beside, output_options, required, tell


@click.command(
    context_settings=HELP,
    epilog="Example: sfumato lora resize ink.safetensors -o ink-small.safetensors --rank 8",
)
@click.argument("source", type=named_model, metavar="LORA")
@output_options
@rank_options("Ranks of each layer, or a rule: energy:0.95, error:0.1, ratio:20, size:40MB.")
@conv_option()
@model_option()
@file_options("Whose names; the file's own where it is not given.")
def command(
    source: str,
    *,
    output: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    rank: str | None,
    conv_rank: str | None,
    max_rank: int | None,
    exact: bool,
    seed: int,
    model: str | None,
    spelling: str | None,
    dtype: str | None,
    container: str | None,
) -> None:
    """Write LORA with other ranks: the best approximation of its changes that these allow.

    The strength stays the same. LoHa, LoKr and whole differences become plain LoRA; norms, biases
    and kinds that depend on the weight, such as DoRA, stay as they are.
    """
    from sfumato.operations.lora.resize import resize

    if rank is None:
        raise click.UsageError("say how large it is to be: --rank RULE")
    with progress("resize") as bar:
        report = resize(
            source,
            required(output, stand_in=beside(source, "resized.safetensors", dry_run=dry_run)),
            rank=rank,
            conv_rank=conv_rank,
            max_rank=max_rank,
            spelling=spelling,
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
