"""`sfumato lora`: what is done with LoRA files, each command loaded only when it is called."""

from __future__ import annotations

import click

from sfumato.app.cli.entries import Entries, Entry
from sfumato.app.cli.writing import HELP


def _check() -> click.Command:
    from sfumato.app.cli.lora_check import command

    return command


def _extract() -> click.Command:
    from sfumato.app.cli.lora_extract import command

    return command


def _resize() -> click.Command:
    from sfumato.app.cli.lora_resize import command

    return command


def _merge() -> click.Command:
    from sfumato.app.cli.lora_merge import command

    return command


def _translate() -> click.Command:
    from sfumato.app.cli.lora_translate import command

    return command


VERBS: tuple[Entry, ...] = (
    Entry("check", "Say what a LoRA changes, whether it fits a model, what is dead in it.", _check),
    Entry("extract", "Take the LoRA between a fine-tuned model and its base.", _extract),
    Entry("resize", "Give a LoRA other ranks: the best of their size.", _resize),
    Entry("merge", "Make one LoRA that does what several do together.", _merge),
    Entry("translate", "Write a LoRA in other programs' names, or as plain LoRA.", _translate),
)  # fmt: skip
"""every command of the group, in the order of the help page"""


@click.group(
    cls=Entries,
    entries=VERBS,
    context_settings=HELP,
    epilog="Example: sfumato lora check ink.safetensors --model anything-v3.safetensors",
)
def command() -> None:
    """Look into LoRA files and make new ones, of any kind and in any spelling."""
