"""A grid before it is painted: which cells it has, in which order, and how much work they are."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

from sfumato.engine.grid.axes import Axis
from sfumato.engine.pictures.plots import AxisUsed, axes_fields
from sfumato.engine.request import Request
from sfumato.engine.sampling.strength import picture_steps
from sfumato.errors import UsageError

MEGAPIXELS = 200
"""the largest sheet, in millions of pixels (A1111's limit)"""

SEEDS = ("seed", "variation seed")
"""parameters whose -1 stands for a number that is drawn"""


class Place(NamedTuple):
    """Where a cell is: column, row, sheet."""

    x: int
    y: int
    z: int


@dataclass(frozen=True, slots=True)
class Plan:
    """All cells of one to three axes over a request."""

    base: Request
    axes: tuple[Axis | None, Axis | None, Axis | None]
    """columns, rows, sheets"""
    vary: tuple[bool, bool, bool] = (False, False, False)
    """along which axes the seed counts up"""
    drawn: tuple[tuple[int, int], ...] = ()
    """for each cell of its own: what a seed and a variation seed of -1 stand for"""

    @property
    def shape(self) -> Place:
        """Columns, rows and sheets."""
        return Place(*(len(axis.values) if axis else 1 for axis in self.axes))

    def places(self) -> Iterator[Place]:
        """Every place; the axis that is dearest to change changes least often."""
        costs = [axis.parameter.cost if axis else -1.0 for axis in self.axes]
        # Among equals the sheets are outermost, then the rows, as a sheet is read.
        nest = sorted((2, 1, 0), key=lambda axis: -costs[axis])
        for indices in product(*(range(self.shape[axis]) for axis in nest)):
            found = dict(zip(nest, indices, strict=True))
            yield Place(found[0], found[1], found[2])

    def request(self, place: Place) -> Request:
        """What is painted there."""
        request = self.base
        pairs = [(axis, index) for axis, index in zip(self.axes, place, strict=True) if axis]
        for axis, index in sorted(pairs, key=lambda pair: pair[0].parameter.late):
            request = axis.put(request, index)
        if self.drawn:
            request = _with_drawn(request, self.drawn[self._number(place)])
        if not any(self.vary):
            return request
        nx, ny, _ = self.shape
        x, y, z = (i if on else 0 for i, on in zip(place, self.vary, strict=True))
        along_y = nx if self.vary[0] else 1
        along_z = along_y * (ny if self.vary[1] else 1)
        return replace(request, seed=request.seed + x + y * along_y + z * along_z)

    def called(self, place: Place) -> str:
        """The values of a cell, as a person says them."""
        pairs = zip(self.axes, place, strict=True)
        return ", ".join(axis.title(index) for axis, index in pairs if axis is not None)

    def _number(self, place: Place) -> int:
        """Of a cell among all, as a sheet is read."""
        nx, ny, _ = self.shape
        return place.x + nx * (place.y + ny * place.z)

    def steps(self) -> int:
        """Steps of all cells."""
        return sum(steps_of(self.request(place)) for place in self.places())

    def fields(self) -> dict[str, str]:
        """What a picture's text says of the grid it is from, under A1111's names."""
        return axes_fields([_used(axis) for axis in self.axes if axis])


def _with_drawn(request: Request, drawn: tuple[int, int]) -> Request:
    """Seeds of -1 become those that were drawn for the cell."""
    seed = drawn[0] if request.seed < 0 else request.seed
    own = drawn[1] if request.variation.seed < 0 else request.variation.seed
    return replace(request, seed=seed, variation=replace(request.variation, seed=own))


def _used(axis: Axis) -> AxisUsed:
    seeds = axis.parameter.name in SEEDS and -1 not in axis.values
    fixed = ", ".join(axis.labels) if seeds else ""
    return AxisUsed(axis.parameter.label, axis.text, fixed)


def plan_grid(
    base: Request,
    axes: tuple[Axis | None, Axis | None, Axis | None],
    *,
    vary: tuple[bool, bool, bool] = (False, False, False),
    keep_random: bool = False,
) -> Plan:
    """A plan of these axes, checked as a whole.

    Seeds of -1 are drawn now, one for all cells, so that nothing differs but what the axes say.
    keep_random: one for each cell instead.
    Raises UsageError where there is no axis, one parameter is on two axes, a parameter would
    change nothing, or the sheets would be larger than MEGAPIXELS.
    """
    named = [axis.parameter for axis in axes if axis]
    if not named:
        raise UsageError("a grid needs an axis: -x 'cfg: 4, 7, 10'")
    twice = {p.name for p in named if named.count(p) > 1 and p.kind != "search"}
    if twice:
        raise UsageError(f"{min(twice)} is on two axes")
    if keep_random:
        plan = Plan(base, axes, vary)
        plan = replace(plan, drawn=tuple((draw_seed(), draw_seed()) for _ in plan.places()))
    else:
        x, y, z = (_with_seeds(axis) for axis in axes)
        plan = Plan(_with_drawn(base, (draw_seed(), draw_seed())), (x, y, z), vary)
    first = plan.request(Place(0, 0, 0))
    last = plan.request(Place(*(size - 1 for size in plan.shape)))
    for parameter in named:
        reason = parameter.missing(first) and parameter.missing(last)
        if reason:
            raise UsageError(f"axis {parameter.name}: would change nothing: {reason}")
    return plan


def draw_seed() -> int:
    """A seed as A1111 draws them."""
    return secrets.randbelow(2**32 - 2)


def _with_seeds(axis: Axis | None) -> Axis | None:
    if axis is None or axis.parameter.name not in SEEDS or -1 not in axis.values:
        return axis
    values = tuple(draw_seed() if value == -1 else value for value in axis.values)
    return replace(axis, values=values, labels=tuple(map(str, values)))


def check_size(plan: Plan, width: int, height: int) -> None:
    """Raises UsageError where cells of `width` × `height` pixels make too large a sheet."""
    nx, ny, nz = plan.shape
    megapixels = nx * ny * nz * width * height / 1e6
    if megapixels > MEGAPIXELS:
        raise UsageError(
            f"{nx} × {ny} × {nz} pictures of {width}×{height} are {megapixels:,.0f} megapixels; "
            f"at most {MEGAPIXELS} fit into a sheet"
        )


def steps_of(request: Request) -> int:
    """Steps of all pictures of one request, both passes."""
    first, init = request.steps, request.init
    if init is not None:
        length, encode = picture_steps(request.steps, init.denoise, exact=init.exact_steps)
        first = encode + 1 if length else 0
    larger = request.hires if init is None or init.inpaint is None else None
    second = (larger.steps or request.steps) if larger else 0
    return (first + second) * request.count * request.batch
