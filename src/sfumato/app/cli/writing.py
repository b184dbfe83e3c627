"""What the commands that write a file share: their options, and how they tell what was done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

import click

from sfumato.app.cli.console import Json, complain, emit_json, say

if TYPE_CHECKING:
    from sfumato.operations.plan import Report

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

HELP = {"help_option_names": ["-h", "--help"]}
"""context settings of every command"""


def output_options(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """-o, --force, --dry-run and --json."""
    options = (
        click.option("-o", "--output", metavar="FILE", help="File to write."),
        click.option("--force", is_flag=True, help="Replace the output if it is there."),
        click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing."),
        json_option("Tell what was done as JSON."),
    )
    return _with(function, options)


JSON_ASKED = "sfumato.json"
"""key of the context under which it is kept that refusals are to be told as JSON too"""


def json_option(text: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """--json, which is seen before all other options, so that their faults are told as JSON."""
    return click.option(
        "--json", "as_json", is_flag=True, is_eager=True, callback=_note_json, help=text
    )


def _note_json(context: click.Context, _option: click.Parameter, asked: bool) -> bool:
    context.meta[JSON_ASKED] = asked
    return asked


def form_options(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """--dtype, --to and --strict."""
    options = (
        click.option("--dtype", metavar="TYPE", help="f32, f16, bf16, f8_e4m3 or f8_e5m2."),
        click.option(
            "--to", "container", metavar="CONTAINER",
            help="Format, if FILE's ending does not say: safetensors, torch-zip, gguf, picture, "
            "diffusers-folder.",
        ),
        click.option("--strict", is_flag=True, help="Stop if a cast makes a number infinite."),
    )  # fmt: skip
    return _with(function, options)


def required(output: str | None, *, stand_in: str = "") -> str:
    """The output, or what stands in for it where nothing is written; wrong usage without both."""
    if output is None and not stand_in:
        raise click.UsageError("say which file to write: -o FILE")
    return output or stand_in


def beside(source: str, ending: str, *, dry_run: bool) -> str:
    """A name next to the input for an output that is only talked of; empty for one written."""
    from pathlib import Path

    path = Path(source)
    return str(path.with_name(f"{path.stem}-{ending}")) if dry_run and path.name else ""


def _with(
    function: Callable[Arguments, Answer],
    options: tuple[Callable[[Callable[..., object]], Callable[..., object]], ...],
) -> Callable[Arguments, Answer]:
    wrapped: Callable[..., object] = function
    for option in reversed(options):
        wrapped = option(wrapped)
    return cast("Callable[Arguments, Answer]", wrapped)  # options leave what they decorate alone


def tell(report: Report, *, as_json: bool) -> None:
    """Print what was done: sentences on standard output, warnings on standard error."""
    if as_json:
        emit_json(cast("Json", report.to_json()))
        return
    if report.saved is not None:
        say(f"{report.saved.path}")
    for sentence in report.sentences():
        (complain if sentence.startswith("warning: ") else say)(f"  {sentence}")
