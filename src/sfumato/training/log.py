"""What a run leaves to look at: a table of every logged step, and its losses as a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

COLUMNS = ("step", "epoch", "loss", "validation", "rate", "seconds")


class Log:
    """The table `log.csv` of a run, which a resumed run continues where its state was saved."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.rows = [row for row in _read(path) if int(row["step"]) <= step]
        """rows up to the state that the run goes on from; later ones are painted over"""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)

    def add(self, **values: float | int | None) -> None:
        """Append one row."""
        row = {name: _said(values.get(name)) for name in COLUMNS}
        self.rows.append(row)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)

    def column(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of one column, where it has any."""
        pairs = [(int(row["step"]), float(row[name])) for row in self.rows if row.get(name)]
        return [step for step, _ in pairs], [value for _, value in pairs]


def _read(path: Path) -> list[Mapping[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if (row.get("step") or "").isdigit()]


def _said(value: float | int | None) -> str:
    return "" if value is None else repr(value) if isinstance(value, int) else f"{value:.7g}"


def plot(log: Log, path: Path) -> None:
    """Draw the losses of a run into a PNG file: each step, their running mean, validation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps, losses = log.column("loss")
    axes.plot(steps, losses, color="0.85", linewidth=0.8)
    axes.plot(steps, _smooth(losses), color="tab:blue", label="loss, running mean")
    checked, validations = log.column("validation")
    if checked:
        axes.plot(checked, validations, "o-", color="tab:orange", markersize=3, label="validation")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.grid(color="0.93")
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=110)


def _smooth(values: list[float], share: float = 0.95) -> list[float]:
    """The exponential running mean, corrected for its start."""
    smoothed, total, weight = list[float](), 0.0, 0.0
    for value in values:
        total, weight = share * total + (1 - share) * value, share * weight + 1 - share
        smoothed.append(total / weight)
    return smoothed
