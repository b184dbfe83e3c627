"""`sfumato lora check`: what a LoRA changes, whether it fits a model, and what is dead in it."""

from __future__ import annotations

import click

from sfumato.app.cli.writing import HELP, json_option


@click.command(
    "check",
    context_settings=HELP,
    epilog="Example: sfumato lora check ink.safetensors --model anything-v3.safetensors",
)
@click.argument("source", metavar="LORA")
@click.option("--model", metavar="MODEL", help="The checkpoint that it is to fit.")
@json_option("Tell what was found as JSON.")
def command(source: str, *, model: str | None, as_json: bool) -> None:
    """Look through LORA: what it changes, by how much, whether it fits MODEL."""
    raise click.UsageError("is not there yet")
