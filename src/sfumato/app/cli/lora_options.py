"""The options that the commands making LoRA files have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import click

from sfumato.app.cli.model_name import named_model

Command = Callable[..., object]


def rank_options(text: str) -> Callable[[Command], Command]:
    """--rank with its own help text, --max-rank, --exact and --seed."""
    return _all(
        click.option("--rank", metavar="RULE", help=text),
        click.option(
            "--max-rank", type=click.IntRange(1), help="At most so many ranks by a rule (128)."
        ),
        click.option("--exact", is_flag=True, help="Full decompositions, not random projections."),
        click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Of these (0)."),
    )


def conv_option() -> Callable[[Command], Command]:
    """--conv-rank."""
    text = "The same for convolutions larger than 1×1; as --rank where it is not given."
    return _all(click.option("--conv-rank", metavar="RULE", help=text))


def file_options(spelling: str) -> Callable[[Command], Command]:
    """--spelling with its own help text, --dtype, --to."""
    return _all(
        click.option("--spelling", metavar="NAMES", help=spelling),
        click.option("--dtype", metavar="TYPE", help="f32, f16 or bf16."),
        click.option(
            "--to", "container", metavar="CONTAINER",
            help="Format, if FILE's ending does not say: safetensors or torch-zip.",
        ),
    )  # fmt: skip


def model_option() -> Callable[[Command], Command]:
    """--model."""
    text = "The model it is for: needed where that is of no published size."
    return _all(click.option("--model", type=named_model, metavar="MODEL", help=text))


def _all(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(function: Command) -> Command:
        for option in reversed(options):
            function = option(function)
        return function

    return cast("Callable[[Command], Command]", decorate)
