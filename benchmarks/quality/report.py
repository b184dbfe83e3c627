"""The figures as JSON and as a table of the documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from quality.records import Measure, Record
from quality.studio import CFG, SAMPLER, SCHEDULE, STEPS

MARKS = ("<!-- quality -->", "<!-- /quality -->")
PAGE = f"# The starter models\n\n{MARKS[0]}\n{MARKS[1]}\n"


@dataclass(frozen=True, slots=True)
class Settings:
    """How everything is painted."""

    size: int
    seeds: int
    steps: int = STEPS
    cfg: float = CFG
    sampler: str = f"{SAMPLER} {SCHEDULE}"

    @property
    def sentence(self) -> str:
        """For people."""
        return (
            f"{self.size} × {self.size} pixels, {self.sampler}, {self.steps} steps, CFG "
            f"{self.cfg:g}, unless said otherwise."
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a measure gave, and of which files."""

    measure: str
    files: Mapping[str, str]
    """sha256 of each"""
    records: Sequence[Record]


def digest(path: Path) -> str:
    """The first digits of a file's sha256."""
    return sha256(path.read_bytes()).hexdigest()[:16]


def line(record: Record) -> str:
    """A figure for the terminal."""
    return f"{record.name}: {record.figure} (aim: {record.aim}): {_met(record)}"


def _met(record: Record) -> str:
    return "met" if record.met else "NOT met"


def merged(
    older: Sequence[Outcome],
    fresh: Sequence[Outcome],
    known: Mapping[str, str],
    order: Sequence[Measure],
) -> list[Outcome]:
    """The fresh outcomes, with the older ones of files that have not changed, in order.

    known: the digests of the files that are there now.
    """
    kept = {outcome.measure: outcome for outcome in older}
    found = {
        name: outcome
        for name, outcome in kept.items()
        if all(known.get(file, told) == told for file, told in outcome.files.items())
    } | {outcome.measure: outcome for outcome in fresh}
    return [found[measure.name] for measure in order if measure.name in found]


def read_json(path: Path, settings: Settings) -> list[Outcome]:
    """The outcomes of a file; none where they were painted with other settings."""
    if not path.is_file():
        return []
    told = json.loads(path.read_text(encoding="utf-8"))
    if told["settings"] != asdict(settings):
        return []
    return [
        Outcome(each["measure"], each["files"], [Record(**record) for record in each["records"]])
        for each in told["outcomes"]
    ]


def write_json(path: Path, settings: Settings, outcomes: Sequence[Outcome]) -> None:
    """All figures, and every number behind them."""
    told = {"settings": asdict(settings), "outcomes": [asdict(outcome) for outcome in outcomes]}
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def table(settings: Settings, outcomes: Sequence[Outcome]) -> str:
    """The figures in Markdown, and under them how each was judged."""
    records = [record for outcome in outcomes for record in outcome.records]
    rows = [f"| {r.name} | {r.figure} | {r.aim} | {_met(r)} |" for r in records]
    head = ["| what | figure | aim | |", "|---|---|---|---|"]
    how = [f"- *{record.name}*: {record.sentence}" for record in records]
    return "\n".join([settings.sentence, "", *head, *rows, "", *how])


def write_page(path: Path, text: str) -> None:
    """Put the table between the marks of a page, which is made where it is not there."""
    page = path.read_text(encoding="utf-8") if path.is_file() else PAGE
    before, after = page.split(MARKS[0])[0], page.split(MARKS[1])[1]
    path.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", encoding="utf-8")
