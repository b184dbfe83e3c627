"""The figures are kept as long as their files are the same."""

from __future__ import annotations

from pathlib import Path

from quality.records import Bench, Measure, Record, falls
from quality.report import Outcome, Settings, merged, read_json, table, write_json, write_page

SETTINGS = Settings(128, 4)


def nothing(_bench: Bench) -> list[Record]:
    return []


ORDER = (Measure("one", nothing), Measure("two", nothing))


def outcome(measure: str, digest: str, figure: str = "1 dB") -> Outcome:
    return Outcome(measure, {"file": digest}, [Record(measure, figure, "≥ 1", True, "So.")])


def stored(path: Path, digest: str) -> list[Outcome]:
    write_json(path / "figures.json", SETTINGS, [outcome("two", digest)])
    return read_json(path / "figures.json", SETTINGS)


def test_older_figures_stay_where_their_files_are_the_same(tmp_path: Path) -> None:
    found = merged(stored(tmp_path, "aa"), [outcome("one", "aa")], {"file": "aa"}, ORDER)
    assert found == [outcome("one", "aa"), outcome("two", "aa")]


def test_older_figures_of_other_files_go(tmp_path: Path) -> None:
    found = merged(stored(tmp_path, "aa"), [outcome("one", "bb")], {"file": "bb"}, ORDER)
    assert found == [outcome("one", "bb")]


def test_older_figures_of_files_that_are_elsewhere_stay(tmp_path: Path) -> None:
    assert merged(stored(tmp_path, "aa"), [], {}, ORDER) == [outcome("two", "aa")]


def test_older_figures_of_other_settings_go(tmp_path: Path) -> None:
    stored(tmp_path, "aa")
    assert not read_json(tmp_path / "figures.json", Settings(64, 4))


def test_only_what_is_between_the_marks_is_written(tmp_path: Path) -> None:
    page = tmp_path / "starter.md"
    write_page(page, "old")
    page.write_text(page.read_text() + "after\n")
    write_page(page, table(SETTINGS, [outcome("one", "aa", "7 dB")]))
    text = page.read_text()
    assert "old" not in text and "| one | 7 dB | ≥ 1 | met |" in text and text.endswith("after\n")


def test_a_course_falls_only_where_every_step_does() -> None:
    assert falls([3, 2, 1]) and not falls([3, 3, 1]) and not falls([1, 2])
