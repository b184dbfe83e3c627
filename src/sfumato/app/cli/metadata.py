"""`sfumato metadata`: show and change the text in a file's header."""

from __future__ import annotations

from collections.abc import Mapping

import click

from sfumato.app.cli.console import Json, emit_json, progress, say
from sfumato.app.cli.model_name import named_model
from sfumato.app.cli.writing import HELP, json_option, output_options, tell

LONGEST = 300
"""characters of a value that are shown without --full"""


@click.group(
    context_settings=HELP,
    epilog="Example: sfumato metadata show lora.safetensors",
)
def command() -> None:
    """Show and change the text in a file's header.

    Changes rewrite the header of a safetensors file and copy the tensors byte for byte, so the LoRA
    hash (AutoV3) stays the same.
    """


@command.command(context_settings=HELP, epilog="Example: sfumato metadata show lora.safetensors")
@click.argument("source", type=named_model, metavar="MODEL")
@click.option("--full", is_flag=True, help="Show long values whole.")
@json_option("Print JSON.")
def show(source: str, *, full: bool, as_json: bool) -> None:
    """Show the text beside the tensors of MODEL, whatever its container."""
    from sfumato.containers.open import open_model

    with open_model(source) as model:
        text, values = model.metadata, model.extras
    if as_json:
        plain: dict[str, Json] = {
            key: repr(value) if isinstance(value, bytes | float) else value
            for key, value in values.items()
        }
        emit_json({"metadata": {**text}, "values": plain})
        return
    if not text and not values:
        say("there is no metadata")
    limit = LONGEST if not full else 10**9
    _show(text, limit)
    _show({key: str(value) for key, value in values.items()}, limit)


def _show(entries: Mapping[str, str], limit: int) -> None:
    from sfumato.containers.text import escape

    for key, value in entries.items():
        say(f"{escape(key)}: {escape(value, limit)}")


@command.command(
    "set",
    context_settings=HELP,
    epilog="Example: sfumato metadata set lora.safetensors modelspec.title=Ink -o new.safetensors",
)
@click.argument("source", type=named_model, metavar="MODEL")
@click.argument("pairs", nargs=-1, required=True, metavar="KEY=VALUE...")
@click.option("--in-place", is_flag=True, help="Replace MODEL itself.")
@output_options
def put(
    source: str,
    *,
    pairs: tuple[str, ...],
    in_place: bool,
    output: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Set metadata of MODEL, new or changed."""
    wanted: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not key or not sign:
            raise click.UsageError(f"{pair!r} is not KEY=VALUE")
        wanted[key] = value
    target = _target(source, output, in_place=in_place)
    _change(source, target, wanted, (), force or in_place, dry_run=dry_run, as_json=as_json)


@command.command(
    context_settings=HELP,
    epilog="Example: sfumato metadata remove lora.safetensors ss_dataset_dirs -o new.safetensors",
)
@click.argument("source", type=named_model, metavar="MODEL")
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--in-place", is_flag=True, help="Replace MODEL itself.")
@output_options
def remove(
    source: str,
    *,
    keys: tuple[str, ...],
    in_place: bool,
    output: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove metadata of MODEL."""
    target = _target(source, output, in_place=in_place)
    _change(source, target, {}, keys, force or in_place, dry_run=dry_run, as_json=as_json)


@command.command(
    context_settings=HELP,
    epilog='Example: sfumato metadata trigger style.safetensors "in inkwash style" --in-place',
)
@click.argument("source", type=named_model, metavar="MODEL")
@click.argument("words")
@click.option("--in-place", is_flag=True, help="Replace MODEL itself.")
@output_options
def trigger(
    source: str,
    *,
    words: str,
    in_place: bool,
    output: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Keep the words that call MODEL up in its header, as modelspec.trigger_phrase."""
    from sfumato.operations.metadata import TRIGGER

    target = _target(source, output, in_place=in_place)
    wanted = {TRIGGER: words}
    _change(source, target, wanted, (), force or in_place, dry_run=dry_run, as_json=as_json)


def _target(source: str, output: str | None, *, in_place: bool) -> str:
    if in_place == (output is not None):
        raise click.UsageError("say which file to write: -o FILE, or --in-place")
    return source if output is None else output


def _change(
    source: str,
    target: str,
    wanted: Mapping[str, str],
    gone: tuple[str, ...],
    force: bool,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    from sfumato.operations.metadata import metadata

    with progress("metadata") as bar:
        report = metadata(
            source, target, put=wanted, remove=gone, force=force, dry_run=dry_run, progress=bar
        )
    tell(report, as_json=as_json)
