"""A request being painted: the bar, the preview, and the pictures as they are finished."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sfumato.app.cli.painting.bar import Advance, step_bar
from sfumato.app.cli.painting.output import ENDINGS, check_writable
from sfumato.app.cli.painting.setting import Setting
from sfumato.containers.atomic import destination, translated
from sfumato.containers.source import is_folder
from sfumato.errors import Refused

if TYPE_CHECKING:
    from sfumato.engine.painter import Painter
    from sfumato.engine.pictures.picture import Picture
    from sfumato.engine.progress import Progress
    from sfumato.engine.request import Request
    from sfumato.library.find import Shelf

EVERY = 3
"""steps from one preview to the next"""

LABELS = {"paint": "paint", "enlarge": "paint, larger"}


PREVIEW: tuple[Setting, ...] = (
    Setting("--preview", "Output", "A small picture of what there is so far.", str,
            metavar="FILE"),
    Setting("--preview-model", "Output", "A TAESD or VAE-approx that makes it. [a map fitted to "
            "the VAE]", str, metavar="FILE|NAME"),
)  # fmt: skip


def preview_path(given: Mapping[str, Any], shelf: Shelf) -> Path | None:
    """Where previews go, checked before anything is painted, as is the model that makes them."""
    name, model = given.get("preview"), given.get("preview_model")
    if name is None and model is not None:
        raise click.UsageError("--preview-model makes previews: say where, with --preview FILE")
    if name is None:
        return None
    path = Path(name)
    if path.suffix.lower() not in ENDINGS:
        raise click.UsageError(f"--preview {path}: previews end in {', '.join(ENDINGS)}")
    if is_folder(path) or not is_folder(path.parent):
        raise Refused(f"{path}: no preview can be written there")
    with translated(path, 0):
        check_writable(path, destination(path, force=True).parent)
    if model is not None:
        shelf.resolve("preview", model)
    return path


def paint_all(painter: Painter, request: Request, preview: Path | None) -> Iterator[Picture]:
    """Every picture of a request as soon as it is finished."""
    with step_bar() as advance:
        yield from painted(painter, request, preview, advance)


def painted(
    painter: Painter, request: Request, preview: Path | None, advance: Advance
) -> Iterator[Picture]:
    """The same with a bar that is there already."""
    from sfumato.engine.progress import Progress

    # Closing stops at once and takes adapters off.
    with closing(painter.paint(request)) as events:
        for event in events:
            if isinstance(event, Progress):
                report(event, preview, advance)
            else:
                yield event


def report(progress: Progress, preview: Path | None, advance: Advance) -> None:
    """Move the bar, and show what there is so far."""
    number = f" {progress.picture + 1}/{progress.pictures}" if progress.pictures > 1 else ""
    advance(LABELS[progress.stage] + number, progress.done, progress.total)
    last = progress.step >= progress.steps
    if preview is not None and (progress.step % EVERY == 0 or last):
        write_preview(progress, preview)


def write_preview(progress: Progress, path: Path) -> None:
    """Replace the preview in one step, so that whoever looks at it sees a whole picture."""
    from sfumato.containers.atomic import replacing

    sink = BytesIO()
    progress.preview().convert("RGB").save(sink, ENDINGS[path.suffix.lower()])
    with replacing(path, sink.tell(), force=True) as file:
        file.write(sink.getvalue())
