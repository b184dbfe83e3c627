"""The figures are kept as long as their files are the same."""

from __future__ import annotations

from pathlib import Path

from quality.records import Bench, Measure, Record, falls
from quality.report import Outcome, Settings, merged, table, write_json, write_page

SETTINGS = Settings(128, 4)


def nothing(_bench: Bench) -> list[Record]:
    return []


ORDER = (Measure("one", nothing), Measure("two", nothing))


def outcome(measure: str, digest: str, figure: str = "1 dB") -> Outcome:
    return Outcome(measure, {"file": digest}, [Record(measure, figure, "≥ 1", True, "So.")])


def test_older_figures_stay_where_their_files_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_json(path, SETTINGS, [outcome("two", "aa")])
    found = merged(path, SETTINGS, [outcome("one", "aa")], ORDER)
    assert [each.measure for each in found] == ["one", "two"]


def test_older_figures_of_other_files_or_settings_go(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_json(path, SETTINGS, [outcome("two", "aa")])
    assert len(merged(path, SETTINGS, [outcome("one", "bb")], ORDER)) == 1
    assert len(merged(path, Settings(64, 4), [outcome("one", "aa")], ORDER)) == 1


def test_only_what_is_between_the_marks_is_written(tmp_path: Path) -> None:
    page = tmp_path / "starter.md"
    write_page(page, "old")
    page.write_text(page.read_text() + "after\n")
    write_page(page, table(SETTINGS, [outcome("one", "aa", "7 dB")]))
    text = page.read_text()
    assert "old" not in text and "| one | 7 dB | ≥ 1 | met |" in text and text.endswith("after\n")


def test_a_course_falls_only_where_every_step_does() -> None:
    assert falls([3, 2, 1]) and not falls([3, 3, 1]) and not falls([1, 2])
