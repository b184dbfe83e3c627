"""The sheet of a grid: its cells in tables, and a record that tells the axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sfumato.engine.grid.plan import Place, Plan
from sfumato.engine.pictures.picture import Picture
from sfumato.engine.pictures.sheet import Cell, Failed, Sheet, draw_sheets
from sfumato.engine.pictures.used import FileUsed

LAST = "Version"
"""the field that stays behind all others"""


def grid_sheet(
    plan: Plan,
    pictures: Mapping[Place, Picture],
    errors: Mapping[Place, str],
    *,
    labels: bool = True,
    gap: int | None = None,
    table: int | None = None,
) -> Picture:
    """All tables of a grid as one picture, its record that of the first cell with the axes added.

    table: which one alone, as if there were no third axis. Places that are in neither mapping stay
    white. Raises UsageError where the sheet would exceed 200 megapixels, and ValueError without a
    single picture.
    """
    nx, ny, nz = plan.shape
    if table is not None:
        pictures = {place: one for place, one in pictures.items() if place.z == table}
    if not pictures:
        raise ValueError("a sheet needs a picture")
    tables = [
        Sheet(
            [[_cell(Place(x, y, z), pictures, errors) for x in range(nx)] for y in range(ny)],
            _titles(plan, 0) if labels else (),
            _titles(plan, 1) if labels else (),
            _titles(plan, 2)[z] if labels and plan.axes[2] else "",
        )
        for z in (range(nz) if table is None else (table,))
    ]
    first = next(pictures[place] for place in plan.places() if place in pictures)
    fields = {key: value for key, value in first.record.fields.items() if key != LAST}
    told = plan if table is None else replace(plan, axes=(*plan.axes[:2], None))
    fields |= told.fields() | {LAST: first.record.fields.get(LAST, "")}
    return replace(
        first,
        image=draw_sheets(tables, gap=gap),
        record=replace(first.record, fields={k: v for k, v in fields.items() if v}),
        files=_files(pictures),
        notes=(),
    )


def _cell(place: Place, pictures: Mapping[Place, Picture], errors: Mapping[Place, str]) -> Cell:
    if place in pictures:
        return pictures[place].image
    return Failed(errors[place]) if place in errors else None


def _titles(plan: Plan, number: int) -> tuple[str, ...]:
    axis = plan.axes[number]
    return tuple(axis.title(index) for index in range(len(axis.values))) if axis else ()


def _files(pictures: Mapping[Place, Picture]) -> tuple[FileUsed, ...]:
    """Every file that had a part in any cell, once."""
    return tuple(dict.fromkeys(file for one in pictures.values() for file in one.files))
