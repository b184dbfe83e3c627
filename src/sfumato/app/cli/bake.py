"""`sfumato bake` and `sfumato unbake`: LoRAs and a VAE in a checkpoint, and LoRAs out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sfumato.app.cli.console import progress
from sfumato.app.cli.model_name import named_model
from sfumato.app.cli.writing import HELP, beside, form_options, output_options, required, tell

if TYPE_CHECKING:
    from sfumato.operations.bake import Weighted

LORA = "FILE[:WEIGHT[:TE]]"


@click.command(
    context_settings=HELP,
    epilog="Example: sfumato bake anything-v3.safetensors --lora ink.safetensors:0.8 "
    "--vae vae-ft-mse.safetensors -o inky.safetensors",
)
@click.argument("source", type=named_model, metavar="MODEL")
@click.option(
    "--lora", "loras", type=named_model, multiple=True, metavar=LORA,
    help="A LoRA of any kind, its weight (1) and another for text encoders; several in this order.",
)  # fmt: skip
@click.option(
    "--vae", type=named_model, metavar="FILE", help="A VAE, which takes the place of MODEL's own."
)
@output_options
@form_options
def bake(
    source: str,
    *,
    loras: Sequence[str],
    vae: str | None,
    output: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    dtype: str | None,
    container: str | None,
    strict: bool,
) -> None:
    """Write MODEL with LoRAs added to its weights, another VAE in the place of its own, or both.

    Changes are computed in float32 and cast once, to the type that each tensor has, or to --dtype.
    How many tensors of each LoRA apply, and by how much they change the model, is told. What
    belongs to another family is refused.
    """
    from sfumato.operations.bake import bake

    if not loras and vae is None:
        raise click.UsageError("say what to bake: --lora FILE, --vae FILE or both")
    with progress("bake") as bar:
        report = bake(
            source,
            required(output, stand_in=beside(source, "baked.safetensors", dry_run=dry_run)),
            loras=[weighted(text) for text in loras],
            vae=vae,
            dtype=dtype,
            container=container,
            strict=strict,
            force=force,
            dry_run=dry_run,
            progress=bar,
        )
    tell(report, as_json=as_json)


@click.command(
    context_settings=HELP,
    epilog="Example: sfumato unbake inky.safetensors --lora ink.safetensors:0.8 -o plain.ckpt",
)
@click.argument("source", type=named_model, metavar="MODEL")
@click.option(
    "--lora", "loras", type=named_model, multiple=True, required=True, metavar=LORA,
    help="A LoRA, with the weights that it was baked with; may be given several times.",
)  # fmt: skip
@output_options
@form_options
def unbake(
    source: str,
    *,
    loras: Sequence[str],
    output: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    dtype: str | None,
    container: str | None,
    strict: bool,
) -> None:
    """Write MODEL less LoRAs that were baked into it: what it was before, but for rounding.

    Kinds whose change depends on the weights that they met cannot be subtracted and are refused:
    DoRA, OFT, BOFT, GLoRA, IA3, replaced weights.
    """
    from sfumato.operations.bake import unbake

    with progress("unbake") as bar:
        report = unbake(
            source,
            required(output, stand_in=beside(source, "unbaked.safetensors", dry_run=dry_run)),
            loras=[weighted(text) for text in loras],
            dtype=dtype,
            container=container,
            strict=strict,
            force=force,
            dry_run=dry_run,
            progress=bar,
        )
    tell(report, as_json=as_json)


def weighted(text: str) -> Weighted:
    """FILE, FILE:WEIGHT or FILE:WEIGHT:TE; colons before the last two are the file's own."""
    path, weights = text, list[float]()
    while len(weights) < 2:
        head, colon, tail = path.rpartition(":")
        weight = _number(tail)
        if not colon or not head or weight is None:
            break
        path, weights = head, [weight, *weights]
    if len(weights) == 2:
        return path, weights[0], weights[1]
    return (path, weights[0]) if weights else path


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
