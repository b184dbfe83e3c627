"""`sfumato grid`: pictures side by side over one to three parameters."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sfumato.app.cli.console import complain, emit_json, say
from sfumato.app.cli.painting.asked import asked
from sfumato.app.cli.painting.files import (
    checkpoint_named,
    checkpoint_of,
    shelf_of,
    styles_of,
    with_files,
)
from sfumato.app.cli.painting.lookups import lookups
from sfumato.app.cli.painting.output import Output, output
from sfumato.app.cli.painting.run import PREVIEW, preview_path
from sfumato.app.cli.painting.setting import HeadedCommand, Setting
from sfumato.app.cli.painting.settings import REQUEST
from sfumato.app.cli.painting.telling import Telling
from sfumato.app.cli.painting.values import word
from sfumato.app.cli.painting.wish import Asked
from sfumato.app.cli.writing import HELP, json_option
from sfumato.engine.grid.axes import Axis, read_axis
from sfumato.engine.grid.parameters import PARAMETERS
from sfumato.engine.grid.plan import Plan, check_size, plan_grid

if TYPE_CHECKING:
    from sfumato.engine.loading.load import Plan as LoadPlan
    from sfumato.engine.prompt.styles import Styles
    from sfumato.engine.request import Request
    from sfumato.library.find import Shelf

SMALL = 512
"""pixels of a side where the model decides, at least"""

INTERRUPTED = 130
"""exit status, as shells have it"""

SWAPS = ("x-y", "x-z", "y-z")

AXES: tuple[Setting, ...] = (
    Setting("-x", "Axes", "Columns.", str, metavar="'NAME: VALUES'"),
    Setting("-y", "Axes", "Rows.", str, metavar="'NAME: VALUES'"),
    Setting("-z", "Axes", "Tables, one below the other.", str, metavar="'NAME: VALUES'"),
    Setting("--vary-seeds", "Axes", "Count the seed up along these axes: x, xy …", str,
            metavar="AXES"),
    Setting("--keep-random-seeds", "Axes", "Draw a seed of -1 anew for every cell."),
    Setting("--swap", "Axes", "Exchange two axes.", word(*SWAPS)),
    Setting("--labels/--no-labels", "Axes", "Whether values are written beside. [yes]"),
    Setting("--margin", "Axes", "Pixels between pictures.", click.IntRange(0, 1000)),
)  # fmt: skip

OUTPUT: tuple[Setting, ...] = (
    Setting("-f --from", "Repeating a picture", "Take what the axes do not say from this picture.",
            str, metavar="PICTURE"),
    Setting("-o --output", "Output", "The sheet: a file, or a folder for a numbered one. "
            "[the current folder]", str, metavar="FILE|DIR"),
    Setting("--cells", "Output", "Write every picture by itself too, numbered.", str,
            metavar="DIR"),
    Setting("--sheets", "Output", "Write every table of -z as a sheet of its own too, numbered.",
            str, metavar="DIR"),
    Setting("--format", "Output", "Of files in folders. [png]", word("png", "webp", "jpeg")),
    Setting("--force", "Output", "Replace FILE if it is there."),
    *PREVIEW,
    Setting("--dry-run", "Output", "Check everything; load and paint nothing."),
)  # fmt: skip

# -z is the size of `generate`; here it is an axis.
SHARED = tuple(replace(s, flags="--size") if s.name == "size" else s for s in REQUEST)

NAMES = ", ".join(parameter.name for parameter in PARAMETERS)


@click.command(
    cls=HeadedCommand,
    context_settings=HELP,
    params=[setting.option() for setting in (*AXES, *OUTPUT[:1], *SHARED, *OUTPUT[1:])],
    epilog='Example: sfumato grid "a lighthouse" -m lighthouse.safetensors -x "cfg: 4-10 (+3)"',
    help=f"""Paint PROMPT once for every combination of values, side by side.

    An axis is a name and values: "cfg: 4, 7, 10", "steps: 10-30 (+10)", "seed: 1-4", "sampler:
    Euler a, DPM++ 2M", "prompt s/r: red, blue". All are checked before the first picture; each
    checkpoint is loaded once; a cell that fails stays blank. Docs: docs/grid.md.

    Names: {NAMES}.
    """,
)
@click.argument("prompt", required=False)
@json_option("Tell what was painted as JSON.")
def command(prompt: str | None, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    if prompt is None and not given["from"]:
        raise click.UsageError("say what to paint: PROMPT, or --from PICTURE")
    what = asked(given, prompt)
    telling = Telling(quiet=as_json)
    job = _job(what, given, telling)
    telling.say(*_sentences(job.plan))
    if not given["dry_run"]:
        sys.exit(_paint(job, telling, as_json=as_json))
    _foretell(job, telling)
    if as_json:
        emit_json(telling.to_json(sheet=None, cells=[]))


@dataclass(frozen=True, slots=True)
class Job:
    """Everything settled before a model is loaded."""

    plan: Plan
    shelf: Shelf
    styles: Styles
    target: Output
    preview: Path | None
    given: dict[str, Any]


def _job(what: Asked, given: dict[str, Any], telling: Telling) -> Job:
    target = output(given["output"], given["format"], many=1, force=bool(given["force"]))
    for folder in ("cells", "sheets"):
        if given[folder] and not output(given[folder], None, many=1, force=True).folder:
            raise click.UsageError(f"--{folder} {given[folder]}: is to be a folder")
    if given["sheets"] and not given["z"]:
        raise click.UsageError("--sheets are the tables of an axis: -z")
    shelf, styles = shelf_of(given), styles_of(given)
    known = lookups(shelf, styles)
    texts = {name: given[name] for name in "xyz"}
    if given["swap"]:
        one, _, other = given["swap"].partition("-")
        texts |= {one: texts[other], other: texts[one]}
    read = [read_axis(text, what.request, known) if text else None for text in texts.values()]
    request = _with_model(with_files(what, shelf), shelf, read, telling)
    x, y, z = read
    vary = _varied(given["vary_seeds"] or "")
    plan = plan_grid(request, (x, y, z), vary=vary, keep_random=bool(given["keep_random_seeds"]))
    largest = max((plan.request(place) for place in plan.places()), key=_area)
    check_size(plan, largest.width or SMALL, largest.height or SMALL)
    return Job(plan, shelf, styles, target, preview_path(given, shelf), given)


def _with_model(what: Asked, shelf: Shelf, axes: list[Axis | None], telling: Telling) -> Request:
    """The request with the path of its checkpoint, unless an axis names checkpoints."""
    telling.say(*what.notes)
    if any(axis is not None and axis.parameter.name == "checkpoint" for axis in axes):
        return what.request
    path, notes = checkpoint_of(what, shelf)
    telling.say(*notes)
    return replace(what.request, model=str(path))


def _varied(axes: str) -> tuple[bool, bool, bool]:
    if set(axes.lower()) - set("xyz, "):
        raise click.UsageError(f"--vary-seeds {axes}: name axes, as in xy")
    return "x" in axes.lower(), "y" in axes.lower(), "z" in axes.lower()


def _area(request: Request) -> int:
    scale = request.hires.scale if request.hires else 1
    return int((request.width or 512) * (request.height or 512) * scale * scale)


def _sentences(plan: Plan) -> Iterator[str]:
    """What will be painted."""
    for name, axis in zip(("columns", "rows", "tables"), plan.axes, strict=True):
        if axis is not None:
            yield f"{name}: {axis.parameter.label}: {', '.join(axis.labels)}"
    nx, ny, nz = plan.shape
    cells, steps = nx * ny * nz, plan.steps()
    yield f"{cells} cell{'' if cells == 1 else 's'}, {steps:,} step{'' if steps == 1 else 's'}"


def _foretell(job: Job, telling: Telling) -> None:
    """What would be painted, and why a cell would stay blank."""
    from sfumato.app.cli.painting.foretelling import foretold, remarked
    from sfumato.app.cli.painting.opened import check_names
    from sfumato.errors import SfumatoError

    check_names(job.plan.base)
    plans: dict[tuple[str, str, str], LoadPlan] = {}
    for place in job.plan.places():
        request = job.plan.request(place)
        files = (request.model, request.vae, request.weights)
        try:
            if files not in plans:
                path = checkpoint_named(request.model, job.shelf)
                plans[files], sentences = foretold(path, request, job.shelf, job.given)
                telling.say(*sentences)
            telling.fold(*remarked(request, plans[files], job.shelf, job.styles))
        except SfumatoError as error:
            if telling.is_new(str(error)):
                telling.say(f"{job.plan.called(place)} would stay blank: {error}")
    telling.say(f"would be written: {job.target.describe()}")


def _paint(job: Job, telling: Telling, *, as_json: bool) -> int:
    """Paint all cells, write the sheet of what there is; the exit status."""
    from sfumato.app.cli.painting.opened import check_names
    from sfumato.app.cli.painting.table import Table

    check_names(job.plan.base)
    table = Table(job.plan, job.target, job.preview, job.given, telling)
    whole = table.paint(job.shelf, job.styles)
    if whole:
        table.check()
    path = table.write()
    sheets = [str(sheet) for sheet in table.write_tables()]
    if as_json:
        told = telling.to_json(
            sheet=str(path) if path else None, sheets=[*sheets], cells=table.cells
        )
        emit_json(told)
    elif path is not None:
        say("\n".join((str(path), *sheets)))
    if not whole:
        complain(f"sfumato: interrupted; {len(table.pictures)} cells are finished")
        return INTERRUPTED
    return 1 if table.errors else 0
