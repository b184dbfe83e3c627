"""A grid goes on past what fails, and asks for files no more often than it must."""

from __future__ import annotations

from collections.abc import Iterator

from sfumato.engine.grid.axes import Axis, Lookup, read_axis
from sfumato.engine.grid.plan import plan_grid
from sfumato.engine.grid.run import Cell, run
from sfumato.engine.request import Request
from sfumato.errors import Refused, SfumatoError, UsageError

NAMES = ("good", "bad")
LOOKUPS = {"checkpoint": Lookup(lambda name: name, lambda: NAMES)}
BASE = Request(seed=1)


class Toy:
    """Tells of one step, and paints a word; CFG 4 always fails."""

    def paint(self, request: Request) -> Iterator[str]:
        yield "step"
        if request.guidance.scale == 4:
            raise Refused("four is too much")
        yield f"picture of {request.model}"


def axis(text: str) -> Axis:
    return read_axis(text, BASE, LOOKUPS)


def done(*axes: str) -> list[str | Cell[str]]:
    (x,) = map(axis, axes)
    events = run(
        plan_grid(BASE, (x, None, None)), lambda _: Toy(), lambda e: e.startswith("picture")
    )
    return list(events)


def test_a_failing_cell_is_blank_says_why_and_stops_nothing() -> None:
    cells = [event for event in done("cfg: 3-5") if isinstance(event, Cell)]
    assert [cell.error for cell in cells] == ["", "four is too much", ""]
    assert [len(cell.events) for cell in cells] == [1, 0, 1]


def test_progress_passes_through_and_pictures_stay_in_their_cells() -> None:
    events = done("cfg: 7, 8")
    assert [event for event in events if isinstance(event, str)] == ["step", "step"]


def test_a_checkpoint_that_cannot_be_loaded_is_tried_once() -> None:
    asked: list[str] = []

    def painter(request: Request) -> Toy:
        asked.append(request.model)
        if request.model == "bad":
            raise Refused("damaged")
        return Toy()

    plan = plan_grid(BASE, (axis("cfg: 7-9"), axis("checkpoint: bad, good"), None))
    cells = [e for e in run(plan, painter, lambda e: e != "step") if isinstance(e, Cell)]
    assert asked == ["bad", "good", "good", "good"]
    assert [cell.error for cell in cells] == ["damaged"] * 3 + [""] * 3


def test_only_our_own_errors_leave_a_cell_blank() -> None:
    assert issubclass(UsageError, SfumatoError)

    def painter(_: Request) -> Toy:
        raise KeyboardInterrupt

    plan = plan_grid(BASE, (axis("cfg: 7-9"), None, None))
    try:
        next(run(plan, painter, bool))
    except KeyboardInterrupt:
        return
    raise AssertionError("an interrupt must end the run")
