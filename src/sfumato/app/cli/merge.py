"""`sfumato merge`: one model from several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sfumato.app.cli.console import emit_json, progress, say
from sfumato.app.cli.writing import HELP, form_options, output_options, required, tell
from sfumato.operations.merging.presets import PRESETS
from sfumato.operations.merging.registry import METHODS

if TYPE_CHECKING:
    from sfumato.operations.merging.method import Method, MethodOption
    from sfumato.operations.merging.tree import Merge


def _method_options() -> list[click.Option]:
    """One option for each name that an option of a method has."""
    named: dict[str, list[tuple[Method, MethodOption]]] = {}
    for method in METHODS:
        for option in method.options:
            named.setdefault(option.name, []).append((method, option))
    return [_option(name, uses) for name, uses in named.items()]


def _option(name: str, uses: list[tuple[Method, MethodOption]]) -> click.Option:
    """What the option means, for each method that has it, with its default there."""
    meanings: dict[tuple[str, str], list[str]] = {}
    for method, option in uses:
        shown = "" if option.default == () else f" [{option.default}]"
        meanings.setdefault((option.text, shown), []).append(method.name)
    told = "; ".join(
        f"{', '.join(methods)}: {text}{shown}" for (text, shown), methods in meanings.items()
    )
    return click.Option([f"--{name}"], metavar=uses[0][1].kind.metavar, help=f"{told}.")


def _method_option(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_method_options()):
        _params(function).append(option)
    return function


def _params(function: Callable[..., None]) -> list[click.Parameter]:
    """Where click keeps what decorators add, the last first."""
    found: list[click.Parameter] = vars(function).setdefault("__click_params__", [])
    return found


@click.command(
    context_settings=HELP,
    epilog='Example: sfumato merge "A + 0.8*(B - C)" mine.safetensors ink.safetensors '
    "v1-5.safetensors -o mine-ink.safetensors --plan",
)
@click.argument("models", metavar="MODELS…", nargs=-1)
@output_options
@click.option("--plan", is_flag=True, help="The same as --dry-run.")
@form_options
@click.option(
    "--method", metavar="NAME", default="weighted-sum", show_default=True,
    help="How the models become one; --methods lists all.",
)  # fmt: skip
@_method_option
@click.option("--unet", metavar="merge|A|B…", help="Whose UNet. [merge]")
@click.option("--text-encoder", metavar="merge|A|B…", help="Whose text encoders. [merge]")
@click.option("--vae", metavar="merge|A|B…", help="Whose VAE. [A]")
@click.option(
    "--ema", type=click.Choice(["drop", "use", "merge"]),
    help="Averaged weights: leave them out, merge them in place of the trained ones, or beside. "
    "[drop]",
)  # fmt: skip
@click.option("--models", "folders", metavar="DIR", multiple=True, help="Where models are by name.")
@click.option("--methods", is_flag=True, help="List methods, their options and the presets.")
def command(
    models: tuple[str, ...],
    *,
    output: str | None,
    force: bool,
    dry_run: bool,
    plan: bool,
    as_json: bool,
    dtype: str | None,
    container: str | None,
    strict: bool,
    folders: tuple[str, ...],
    methods: bool,
    **given: Any,  # noqa: ANN401 - the options of all methods, as text
) -> None:
    """Make one model from several, number by number.

    MODELS are files or names, called A, B, C … in this order; or an expression in such letters and
    then the files ("0.7*A + 0.3*B" a.safetensors b.safetensors); or an expression with the names of
    models; or a recipe (mix.toml).

    A weight may be one number, one for each block (26 for SD1, BASE first), some by name
    (IN00-IN05=0.2,OUT=0.8), or a preset (grad-v, grad-v:0.2..0.8). Docs: docs/merging.md.
    """
    if methods:
        _list(as_json=as_json)
        return
    if not models:
        raise click.UsageError("say what to merge: two models or more, an expression, or a recipe")
    from sfumato.operations.merging.merge import merge

    dry_run = dry_run or plan
    wanted = _wanted(models, folders, given)
    with progress("merge") as bar:
        report = merge(
            wanted,
            required(output, stand_in="merged.safetensors" if dry_run else ""),
            dtype=dtype,
            container=container,
            strict=strict,
            force=force,
            dry_run=dry_run,
            progress=bar,
        )
    tell(report, as_json=as_json)


def _wanted(models: tuple[str, ...], folders: tuple[str, ...], given: dict[str, Any]) -> Merge:
    """The merge that the arguments and options say."""
    from sfumato.containers.source import is_file, is_folder
    from sfumato.library.find import Shelf, expanded
    from sfumato.operations.merging.merge import asked
    from sfumato.operations.merging.tree import MERGE, Policy

    shelf = Shelf.from_environment(folders)

    def find(name: str) -> Path:
        path = expanded(name)
        there = is_file(path) or is_folder(path)
        return path if there else shelf.find("checkpoint", name)

    parts = {key: given.pop(key) for key in ("unet", "text_encoder")}
    policy = Policy(
        **{key: value or MERGE for key, value in parts.items()},
        vae=given.pop("vae") or "",
        ema=given.pop("ema") or "drop",
    )
    method = given.pop("method")
    options = {key: value for key, value in given.items() if value is not None}
    return asked(models, method, policy, options, find)


def _list(*, as_json: bool) -> None:
    if as_json:
        emit_json(
            {
                "methods": [_told(method) for method in METHODS],
                "presets": {preset.name: preset.text for preset in PRESETS},
            }
        )
        return
    for method in METHODS:
        say(f"{method.name} ({', '.join(method.inputs)}{', …' if method.open else ''})")
        say(f"  {method.text}")
        for option in method.options:
            say(f"  --{option.name:<9} {option.text} [{_default(option)}]")
    say("weights by block that have a name:")
    for preset in PRESETS:
        say(f"  {preset.name:<12} {preset.text}")


def _default(option: MethodOption) -> str:
    return "equal" if option.default == () else str(option.default)


def _told(method: Method) -> dict[str, Any]:
    return {
        "name": method.name,
        "models": [*method.inputs],
        "any_number": method.open,
        "text": method.text,
        "options": {o.name: {"default": _default(o), "text": o.text} for o in method.options},
    }
