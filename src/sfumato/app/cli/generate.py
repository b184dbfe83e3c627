"""`sfumato generate`: a prompt in, pictures out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sfumato.app.cli.console import emit_json, say
from sfumato.app.cli.painting.asked import asked
from sfumato.app.cli.painting.files import checkpoint_of, shelf_of, styles_of, with_files
from sfumato.app.cli.painting.output import Output, output
from sfumato.app.cli.painting.run import PREVIEW, paint_all, preview_path
from sfumato.app.cli.painting.setting import HeadedCommand, Setting
from sfumato.app.cli.painting.settings import REQUEST
from sfumato.app.cli.painting.telling import Telling, summary
from sfumato.app.cli.painting.values import word
from sfumato.app.cli.writing import HELP, json_option

if TYPE_CHECKING:
    from sfumato.engine.prompt.styles import Styles
    from sfumato.engine.request import Request
    from sfumato.library.find import Shelf

OUTPUT: tuple[Setting, ...] = (
    Setting("-f --from", "Repeating a picture", "Take everything from this picture; other options "
            "override it.", str, metavar="PICTURE"),
    Setting("-o --output", "Output", "A file, or a folder for numbered ones. [the current folder]",
            str, metavar="FILE|DIR"),
    Setting("--format", "Output", "Of the files in a folder. [png]", word("png", "webp", "jpeg")),
    Setting("--force", "Output", "Replace FILE if it is there."),
    *PREVIEW,
    Setting("--dry-run", "Output", "Look everything up; load and paint nothing."),
)  # fmt: skip


@click.command(
    cls=HeadedCommand,
    context_settings=HELP,
    params=[setting.option() for setting in (*OUTPUT[:1], *REQUEST, *OUTPUT[1:])],
    epilog='Example: sfumato generate "a lighthouse at dusk" -m lighthouse.safetensors -o a.png',
)
@click.argument("prompt", required=False)
@json_option("Tell what was painted as JSON.")
def command(prompt: str | None, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - see Setting
    """Paint PROMPT with a Stable Diffusion checkpoint.

    Prompts, seeds, samplers and options mean what they mean in AUTOMATIC1111. Nothing in a file is
    executed; one that would run code elsewhere is refused. Docs: docs/generate.md.
    """
    if prompt is None and not given["from"]:
        raise click.UsageError("say what to paint: PROMPT, or --from PICTURE")
    what = asked(given, prompt)
    many = what.request.batch * what.request.count
    target = output(given["output"], given["format"], many=many, force=bool(given["force"]))
    shelf, styles = shelf_of(given), styles_of(given)
    what = with_files(what, shelf)
    path, notes = checkpoint_of(what, shelf)
    preview = preview_path(given, shelf)
    telling = Telling(quiet=as_json)
    telling.say(*what.notes, *notes)
    job = Job(what.request, path, shelf, styles, target, preview, given)
    if given["dry_run"]:
        _foretell(job, telling)
        if as_json:
            emit_json(telling.to_json(model=str(path)))
    else:
        _paint(job, telling, as_json=as_json)


@dataclass(frozen=True, slots=True)
class Job:
    """Everything settled that can be settled without loading a model."""

    request: Request
    checkpoint: Path
    shelf: Shelf
    styles: Styles
    target: Output
    preview: Path | None
    given: dict[str, Any]


def _foretell(job: Job, telling: Telling) -> None:
    """What would be done; raises what doing it would raise at once."""
    from sfumato.app.cli.painting.foretelling import foretold, remarked
    from sfumato.app.cli.painting.opened import check_names

    check_names(job.request)
    plan, sentences = foretold(job.checkpoint, job.request, job.shelf, job.given)
    telling.say(*sentences, *remarked(job.request, plan, job.shelf, job.styles))
    telling.say(f"would be written: {job.target.describe()}")


def _paint(job: Job, telling: Telling, *, as_json: bool) -> None:
    from sfumato.app.cli.painting.opened import check_names, open_painter
    from sfumato.engine.asking.job import job as settle
    from sfumato.engine.noise.generators import draw_seed

    check_names(job.request)
    request = job.request
    if request.seed < 0:
        request = replace(request, seed=draw_seed())
    opened = open_painter(job.checkpoint, request, job.shelf, job.styles, job.given)
    with opened.painter:
        settled = settle(request, opened.painter.model, job.styles)
        telling.say(opened.model, opened.vae, *opened.notes, *settled.notes)
        telling.say(summary(settled, opened.painter.model))
        try:
            for index, picture in enumerate(paint_all(opened.painter, request, job.preview)):
                path = job.target.save(picture, index)
                telling.reports(opened.painter.applied)
                telling.picture(path, picture)
                if not as_json:
                    say(str(path))
        except KeyboardInterrupt:
            # What is finished is written; only the JSON has still to tell it.
            if as_json:
                emit_json(telling.to_json(model=str(job.checkpoint), interrupted=True))
            raise
    if as_json:
        emit_json(telling.to_json(model=str(job.checkpoint)))
