"""`sfumato lora extract`: the LoRA between a fine-tuned model and what it was tuned from."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from sfumato.app.cli.console import progress
from sfumato.app.cli.lora_options import conv_option, file_options, rank_options
from sfumato.app.cli.model_name import named_model
from sfumato.app.cli.writing import HELP, beside, output_options, required, tell

if TYPE_CHECKING:
    from sfumato.operations.lora.extract import Text


@click.command(
    context_settings=HELP,
    epilog="Example: sfumato lora extract tuned.safetensors base.safetensors -o style.safetensors "
    "--rank 32",
)
@click.argument("tuned", type=named_model, metavar="TUNED")
@click.argument("base", type=named_model, metavar="BASE")
@output_options
@rank_options("Ranks of each layer (64), or a rule: energy:0.95, error:0.1, ratio:20, size:40MB.")
@conv_option()
@click.option(
    "--scope",
    type=click.Choice(["attention", "convolution", "everything"]),
    default="attention",
    help="Which layers: LoRA's, LoCon's, or all with norms and biases (attention).",
)
@click.option(
    "--text",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Text encoders: auto takes those that moved by more than rounding (auto).",
)
@file_options("Whose names: kohya (the default), onetrainer, lycoris, comfyui, peft.")
def command(
    tuned: str,
    base: str,
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
    scope: str,
    text: str,
    spelling: str | None,
    dtype: str | None,
    container: str | None,
) -> None:
    """Write the LoRA that makes TUNED of BASE.

    The difference of every layer becomes a product of low rank. What share of it the LoRA holds is
    measured and told, block by block, as is what lies outside its reach. It is an error if nothing
    moved.
    """
    from sfumato.operations.lora.extract import extract

    with progress("extract") as bar:
        report = extract(
            tuned,
            base,
            required(output, stand_in=beside(tuned, "lora.safetensors", dry_run=dry_run)),
            rank=rank or 64,
            conv_rank=conv_rank,
            max_rank=max_rank,
            scope=scope,
            text=cast("Text", text),
            exact=exact,
            seed=seed,
            spelling=spelling or "kohya",
            dtype=dtype or "f16",
            container=container,
            force=force,
            dry_run=dry_run,
            progress=bar,
        )
    tell(report, as_json=as_json)
