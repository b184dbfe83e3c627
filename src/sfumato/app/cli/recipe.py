"""`sfumato recipe` and `sfumato lineage`: how a file was made, and made once more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from sfumato.app.cli.console import Json, complain, emit_json, human, progress, say
from sfumato.app.cli.model_name import named_model
from sfumato.app.cli.writing import HELP, json_option, output_options, required
from sfumato.containers.text import escape

if TYPE_CHECKING:
    from sfumato.operations.recipe import Option, Recipe


@click.command(
    context_settings=HELP,
    epilog="Example: sfumato recipe mix.safetensors --rerun --models models -o again.safetensors",
)
@click.argument("file", type=named_model, metavar="FILE")
@click.option("--rerun", is_flag=True, help="Make FILE again, from the files it was made from.")
@click.option("--models", "folders", metavar="DIR", multiple=True, help="Where these may be.")
@click.option("--toml", is_flag=True, help="Only the recipe of a merge, to keep and to change.")
@output_options
def recipe(
    file: str,
    *,
    rerun: bool,
    folders: tuple[str, ...],
    toml: bool,
    output: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Say how FILE was made, by the recipe that this program left in it; or make it again.

    Its inputs are found by their BLAKE3, whatever they are called now, in the folders of --models,
    in those of SFUMATO_MODELS and beside FILE. The result is compared with FILE.
    """
    if rerun:
        _rerun(file, folders, output, force=force, dry_run=dry_run, as_json=as_json)
        return
    from sfumato.operations.rerun import recipe_of

    found = recipe_of(Path(file))
    merged = found.options.get("recipe")
    if toml and not isinstance(merged, str):
        raise click.UsageError(f"{file}: was made by {escape(found.operation)}, not by merge")
    if as_json:
        emit_json(cast("Json", _to_json(found)))
    elif toml:
        say("\n".join(escape(line, 10_000) for line in str(merged).splitlines()))
    else:
        _page(found)


def _rerun(
    file: str, folders: tuple[str, ...], output: str | None, *, force: bool, dry_run: bool,
    as_json: bool,
) -> None:  # fmt: skip
    from sfumato.library.find import Shelf
    from sfumato.operations.rerun import rerun

    path = Path(file)
    stand_in = f"{path.stem}-again{path.suffix}" if dry_run else ""
    with progress("rerun") as bar:
        done = rerun(
            file,
            required(output, stand_in=stand_in),
            models=Shelf.from_environment(folders).folders,
            force=force,
            dry_run=dry_run,
            progress=bar,
        )
    if as_json:
        emit_json(cast("Json", {**done.report.to_json(), "same": done.same}))
        return
    for sentence in done.report.sentences():
        (complain if sentence.startswith("warning: ") else say)(f"  {sentence}")
    if done.same is not None:
        say(f"  the same as {path.name}, bit for bit" if done.same else _other(path))
    if done.same is False:
        raise click.exceptions.Exit(1)


def _other(path: Path) -> str:
    return f"not the same bytes as {path.name}: another version made that, or it was changed since"


def _page(found: Recipe) -> None:
    say(f"made by: sfumato {escape(found.operation)}")
    for item in found.inputs:
        say(f"from: {escape(item.name)}, {human(item.size)}, BLAKE3 {escape(item.blake3)}")
    for key, value in found.options.items():
        if value is None or (key == "recipe" and isinstance(value, str)):
            continue
        say(f"{escape(key)}: {_shown(value)}")
    merged = found.options.get("recipe")
    if isinstance(merged, str):
        say("")
        say("\n".join(escape(line, 10_000) for line in merged.splitlines()))
    if found.earlier:
        say("what it was made from has recipes too: sfumato lineage shows them all")


def _shown(value: Option) -> str:
    if isinstance(value, str | bool | int | float):
        return escape(str(value))
    return ", ".join(map(escape, value or ())) or "none"


def _to_json(found: Recipe) -> dict[str, object]:
    return {
        "operation": found.operation,
        "options": dict(found.options),
        "inputs": [{"name": i.name, "size": i.size, "blake3": i.blake3} for i in found.inputs],
        "earlier": [_to_json(earlier) for earlier in found.earlier],
    }


@click.command(
    context_settings=HELP, epilog="Example: sfumato lineage my-favourite-mix.safetensors"
)
@click.argument("file", type=named_model, metavar="FILE")
@json_option("The tree as JSON.")
def lineage(file: str, *, as_json: bool) -> None:
    """Show what FILE was made from, and what that was made from, as far as recipes tell."""
    from sfumato.operations.lineage import lineage as walked

    found = walked(file)
    if as_json:
        emit_json(cast("Json", found.to_json()))
    else:
        say("\n".join(found.lines()))
