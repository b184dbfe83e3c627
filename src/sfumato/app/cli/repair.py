"""`sfumato repair`: mend the known faults of a model file."""

from __future__ import annotations

import click

from sfumato.app.cli.console import emit_json, progress, say
from sfumato.app.cli.model_name import named_model
from sfumato.app.cli.writing import HELP, beside, output_options, required, tell


@click.command(
    context_settings=HELP,
    epilog="Example: sfumato repair merge.safetensors --fix position-ids -o mended.safetensors",
)
@click.argument("source", type=named_model, metavar="MODEL")
@click.option(
    "--fix", "fixes", multiple=True, metavar="NAME",
    help="prefixes, text-model, stray-keys or position-ids; may be given several times.",
)  # fmt: skip
@click.option("--all", "every", is_flag=True, help="Every fix for which there is something to do.")
@output_options
def command(
    source: str,
    *,
    fixes: tuple[str, ...],
    every: bool,
    output: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write MODEL with wrong names and position ids put right; weights never change.

    Without --fix and --all: say which faults there are, and write nothing.

    position-ids changes pictures: words of the prompt that were lost are read again.
    """
    if not fixes and not every:
        if output is not None:
            raise click.UsageError("say what to mend: --fix NAME, or --all")
        return _list(source, as_json=as_json)
    from sfumato.operations.repair import FIXES, repair

    with progress("repair") as bar:
        report = repair(
            source,
            required(output, stand_in=beside(source, "repaired.safetensors", dry_run=dry_run)),
            fixes=[fix.name for fix in FIXES] if every else fixes,
            force=force,
            dry_run=dry_run,
            progress=bar,
        )
    return tell(report, as_json=as_json)


def _list(source: str, *, as_json: bool) -> None:
    from sfumato.operations.repair import faults

    found = faults(source)
    if as_json:
        emit_json(
            [
                {"fix": fix.name, "about": fix.about, "changes_pictures": fix.repaints}
                for fix in found
            ]
        )
        return
    if not found:
        say("there is nothing to repair")
    for fix in found:
        say(f"--fix {fix.name:<14} {fix.about}{'; changes pictures' if fix.repaints else ''}")
