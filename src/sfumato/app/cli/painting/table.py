"""A grid under way at the command line: cells as they are finished, and the sheet of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.app.cli.console import Json, complain
from sfumato.app.cli.painting.bar import Advance, step_bar
from sfumato.app.cli.painting.easel import Easel
from sfumato.app.cli.painting.output import SUFFIXES, Output
from sfumato.app.cli.painting.run import report
from sfumato.app.cli.painting.telling import Telling
from sfumato.engine.grid.plan import Place, Plan, check_size, steps_of
from sfumato.engine.grid.run import Cell, run
from sfumato.engine.grid.sheet import grid_sheet
from sfumato.engine.pictures.picture import Picture
from sfumato.engine.progress import Progress
from sfumato.errors import Refused

if TYPE_CHECKING:
    from sfumato.engine.prompt.styles import Styles
    from sfumato.library.find import Shelf

Event = Progress | Picture


@dataclass(slots=True)
class Table:
    """A grid, and what came of it so far."""

    plan: Plan
    target: Output
    preview: Path | None
    given: Mapping[str, Any]
    telling: Telling
    pictures: dict[Place, Picture] = field(default_factory=dict[Place, Picture])
    errors: dict[Place, str] = field(default_factory=dict[Place, str])
    cells: list[Json] = field(default_factory=list[Json])
    """what is told to programs"""
    behind: int = 0
    """steps of the cells that are done"""

    def paint(self, shelf: Shelf, styles: Styles) -> bool:
        """Paint every cell; False where the user interrupted it."""
        easel = Easel(shelf, styles, self.given, self.telling)
        try:
            with step_bar() as advance:
                for event in run(self.plan, easel.painter, _is_picture):
                    if isinstance(event, Cell):
                        self._finish(event, easel)
                    elif isinstance(event, Progress):
                        self._move(event, advance)
        except KeyboardInterrupt:
            return False
        finally:
            easel.close()
        return True

    def write(self) -> Path | None:
        """Write the sheet of what is finished; None where nothing is."""
        if not self.pictures:
            return None
        labels = self.given.get("labels") is not False
        sheet = grid_sheet(
            self.plan, self.pictures, self.errors, labels=labels, gap=self.given.get("margin")
        )
        return self.target.save(sheet, 0)

    def write_tables(self) -> list[Path]:
        """Write every table that has a picture as a sheet of its own, where that was wanted."""
        folder = self.given.get("sheets")
        if not folder:
            return []
        suffix, paths = SUFFIXES[self.given.get("format") or "png"], list[Path]()
        for table in sorted({place.z for place in self.pictures}):
            sheet = grid_sheet(
                self.plan, self.pictures, self.errors, labels=self.given.get("labels") is not False,
                gap=self.given.get("margin"), table=table,
            )  # fmt: skip
            paths.append(sheet.save_numbered(folder, suffix=suffix))
        return paths

    def check(self) -> None:
        """Count the cells that failed; raises Refused where all did."""
        if self.telling.folded:
            many = f"{self.telling.folded} more sentence{'s' if self.telling.folded > 1 else ''}"
            self.telling.say(f"{many} like these, with other numbers: --json tells all")
        blank = len(self.errors)
        self.telling.say(
            f"{blank} cell{'s stay' if blank > 1 else ' stays'} blank" if blank else ""
        )
        if self.errors and not self.pictures:
            raise Refused(f"no cell could be painted: {next(iter(self.errors.values()))}")

    def _finish(self, cell: Cell[Event], easel: Easel) -> None:
        """Tell of a cell, and write its pictures where they were wanted."""
        self.behind += steps_of(cell.request)
        paths: list[Json] = []
        self.telling.reports(easel.applied, folded=True)
        for picture in cell.events:
            if isinstance(picture, Picture):
                check_size(self.plan, *picture.image.size)
                self.pictures.setdefault(cell.place, picture)
                self.telling.fold(*picture.notes)
                paths += self._kept(picture)
        if cell.error:
            self.errors[cell.place] = cell.error
            if self.telling.is_new(cell.error) and not self.telling.quiet:
                complain(f"  {self.plan.called(cell.place)} stays blank: {cell.error}")
        self.cells.append(
            {"place": [*cell.place], "seed": cell.request.seed, "error": cell.error or None,
             "paths": paths}
        )  # fmt: skip

    def _kept(self, picture: Picture) -> list[Json]:
        folder = self.given.get("cells")
        if not folder:
            return []
        suffix = SUFFIXES[self.given.get("format") or "png"]
        return [str(picture.save_numbered(folder, suffix=suffix))]

    def _move(self, progress: Progress, advance: Advance) -> None:
        number = len(self.cells) + 1
        report(progress, self.preview, lambda label, done, _: advance(
            f"cell {number}, {label}", self.behind + done, max(self.plan.steps(), 1)
        ))  # fmt: skip


def _is_picture(event: Event) -> bool:
    return isinstance(event, Picture)
