"""The list of bad inputs is covered: every row has a test that builds its file."""

from __future__ import annotations

import re
from pathlib import Path

ROWS = 75
MARK = re.compile(r"mark\.row\(([\d, ]+)\)")


def test_every_row_of_the_list_of_bad_inputs_has_a_test() -> None:
    found: set[int] = set()
    for path in Path(__file__).parent.parent.rglob("test_*.py"):
        for group in MARK.findall(path.read_text(encoding="utf-8")):
            found |= {int(number) for number in group.split(",") if number.strip()}
    assert sorted(set(range(1, ROWS + 1)) - found) == []
