"""A grid being painted: cell after cell, whatever becomes of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from sfumato.engine.grid.plan import Place, Plan
from sfumato.errors import SfumatoError

if TYPE_CHECKING:
    from sfumato.engine.request import Request

Event = TypeVar("Event")
Shown = TypeVar("Shown", covariant=True)


class Paints(Protocol[Shown]):
    """Whoever paints a request, and tells of its progress on the way."""

    def paint(self, request: Request) -> Iterator[Shown]:
        """Progress, and pictures when they are done."""
        ...


@dataclass(frozen=True, slots=True)
class Cell(Generic[Event]):
    """What became of one place of a grid."""

    place: Place
    request: Request
    events: tuple[Event, ...] = ()
    """its finished pictures"""
    error: str = ""
    """why it stays blank, in one sentence"""


def run(
    plan: Plan,
    painter: Callable[[Request], Paints[Event]],
    finished: Callable[[Event], bool],
) -> Iterator[Event | Cell[Event]]:
    """Paint every cell, in the plan's order, and yield all events and each cell when it is done.

    painter: gives whoever paints with the files that a request names; it is asked once for each
    cell, and cells of one checkpoint follow one another, so that keeping the last is enough.
    finished: True for events that are pictures; they are kept in their cell, not passed on.

    A cell that fails (SfumatoError) stays blank with its sentence, and the next one is painted. A
    checkpoint that cannot be loaded is not tried again.
    """
    hopeless: dict[tuple[str, str], str] = {}
    for place in plan.places():
        request = plan.request(place)
        files = (request.model, request.vae)
        if files in hopeless:
            yield Cell(place, request, error=hopeless[files])
            continue
        try:
            painting = painter(request)
        except SfumatoError as error:
            hopeless[files] = str(error)
            yield Cell(place, request, error=str(error))
            continue
        yield from _cell(place, request, painting, finished)


def _cell(
    place: Place, request: Request, painting: Paints[Event], finished: Callable[[Event], bool]
) -> Iterator[Event | Cell[Event]]:
    done = list[Event]()
    error = ""
    try:
        for event in painting.paint(request):
            if finished(event):
                done.append(event)
            else:
                yield event
    except SfumatoError as failure:
        error = str(failure)
    yield Cell(place, request, tuple(done), error)
