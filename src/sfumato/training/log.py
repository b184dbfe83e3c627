"""What a run leaves to look at: a table of every logged step, and its losses as a picture."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from io import StringIO
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.containers.atomic import replacing
from sfumato.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("step", "epoch", "loss", "validation", "rate", "seconds")


class Log:
    """The table `log.csv` of a run, which a resumed run continues where its state was saved."""

    def __init__(self, path: Path, step: int) -> None:
        """step: of the state that the run goes on from; later rows are dropped."""
        self.path = path
        kept = [row for row in self.rows() if int(row["step"]) <= step]
        text = StringIO()
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows([row.get(name, "") for name in COLUMNS] for row in kept)
        with replacing(path, len(text.getvalue()), force=True) as file:
            file.write(text.getvalue().encode())

    def rows(self) -> Iterator[Mapping[str, str]]:
        """Every whole row on disk."""
        if not self.path.is_file():
            return
        with self.path.open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file, restval=None):
                # A process that was killed may have left half a line.
                whole = all(row.get(name) is not None for name in COLUMNS)
                if whole and row["step"].isdigit():
                    yield row

    def add(self, **values: float | int | None) -> None:
        """Append one row."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([_said(values.get(name)) for name in COLUMNS])

    def column(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of one column, where it has any."""
        pairs = [(int(row["step"]), float(row[name])) for row in self.rows() if row[name]]
        return [step for step, _ in pairs], [value for _, value in pairs]

    def best(self) -> int | None:
        """The step with the lowest validation loss; None where none was measured."""
        steps, losses = self.column("validation")
        if not steps:
            return None
        finite = [loss if loss == loss else inf for loss in losses]
        return steps[finite.index(min(finite))]


def _said(value: float | int | None) -> str:
    return "" if value is None else repr(value) if isinstance(value, int) else f"{value:.7g}"


def plot(log: Log, path: Path) -> None:
    """Draw the losses of a run into a PNG file: each step, their running mean, validation.

    Raises MissingExtra without matplotlib.
    """
    figure = _figure()
    axes: Any = figure.add_subplot()  # matplotlib's types are partly unknown
    steps, losses = log.column("loss")
    axes.plot(steps, losses, color="0.85", linewidth=0.8)
    axes.plot(steps, smooth(losses), color="tab:blue", label="loss, running mean")
    checked, validations = log.column("validation")
    if checked:
        axes.plot(checked, validations, "o-", color="tab:orange", markersize=3, label="validation")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.grid(color="0.93")
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    with replacing(path, 0, force=True) as sink:
        figure.savefig(sink, format="png", dpi=110)  # pyright: ignore[reportUnknownMemberType]


def _figure() -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("a plot of the losses needs: pip install matplotlib") from error
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def smooth(values: list[float], share: float = 0.95) -> list[float]:
    """The exponential running mean, corrected for its start."""
    smoothed, total, weight = list[float](), 0.0, 0.0
    for value in values:
        total, weight = share * total + (1 - share) * value, share * weight + 1 - share
        smoothed.append(total / weight)
    return smoothed
