"""`sfumato lora merge`: several LoRAs as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sfumato.app.cli.bake import weighted
from sfumato.app.cli.console import progress
from sfumato.app.cli.lora_options import conv_option, file_options, model_option, rank_options
from sfumato.app.cli.model_name import named_model
from sfumato.app.cli.writing import HELP, beside, output_options, required, tell

if TYPE_CHECKING:
    from sfumato.operations.bake import Weighted


@click.command(
    context_settings=HELP,
    epilog="Example: sfumato lora merge ink.safetensors:0.8 hat.safetensors:0.5 "
    "-o both.safetensors",
)
@click.argument(
    "sources", type=named_model, metavar="LORA[:WEIGHT[:TEXT]]...", nargs=-1, required=True
)
@output_options
@rank_options("Ranks of each layer (the largest of the inputs), or a rule: energy:0.95 …")
@conv_option()
@click.option("--concat", is_flag=True, help="All ranks side by side: exact, but larger.")
@model_option()
@file_options("Whose names; the first file's where it is not given.")
def command(
    sources: tuple[str, ...],
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
    concat: bool,
    model: str | None,
    spelling: str | None,
    dtype: str | None,
    container: str | None,
) -> None:
    """Write one LoRA that does what several do together.

    A weight follows the file's name after a colon, and after another the weight in text encoders.
    The changes themselves are summed and made a product again, so the LoRAs do not mix.
    """
    from sfumato.operations.lora.merging import merge

    named = [weighted(source) for source in sources]
    with progress("merge") as bar:
        report = merge(
            named,
            required(
                output, stand_in=beside(first(named[0]), "merged.safetensors", dry_run=dry_run)
            ),
            rank=rank,
            conv_rank=conv_rank,
            max_rank=max_rank,
            concat=concat,
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


def first(named: Weighted) -> str:
    """The file of a LoRA with its weights."""
    return str(named[0] if isinstance(named, tuple) else named)
