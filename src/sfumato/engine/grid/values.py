"""The values of an axis as a person writes them: cells between commas, and ranges of numbers."""

from __future__ import annotations

import re
from decimal import Decimal

from sfumato.containers.text import escape
from sfumato.errors import UsageError

LIMIT = 1000
"""values of one axis; more is a slip of the pen"""

_CELL = re.compile(r'\s*"((?:[^"]|"")*)"\s*(?=[,\n]|\Z)|(?!\s*")([^,\n]*)')
"""a cell in quotes, or one without; the separator after it is not taken"""

_NUMBER = r"[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})"
_SINGLE = re.compile(_NUMBER)
_RANGE = re.compile(
    rf"({_NUMBER})\s*-\s*({_NUMBER})\s*"
    rf"(?:\(\s*({_NUMBER})\s*\)|\[\s*([0-9]{{1,9}})\s*\])?"
)


def split_cells(text: str) -> tuple[str, ...]:
    """The cells of CSV without the blanks around them; `"a, b"` in quotes is one cell.

    Raises UsageError where a quote is left open or no cell is there.
    """
    cells, place = list[str](), 0
    while place <= len(text):
        match = _CELL.match(text, place)
        if match is None:
            raise UsageError(f"{escape(text)}: a quote is opened and no comma follows its end")
        quoted, plain = match.groups()
        cells.append(plain.strip() if quoted is None else quoted.replace('""', '"').strip())
        place = match.end() + 1
    if not any(cells):
        raise UsageError("an axis needs values, as in 'cfg: 4, 7, 10'")
    return tuple(cells)


def read_numbers(cell: str, *, whole: bool) -> tuple[float, ...] | tuple[int, ...]:
    """The numbers that one cell stands for: a number, `a-b`, `a-b (+step)` or `a-b [count]`.

    A range without a step takes steps of 1, downwards where b is less than a, and never passes b.
    With a count, whole numbers are cut as A1111 cuts them: `1-10 [5]` is 1, 3, 5, 7, 10.
    Raises UsageError for what is no number, fractions where `whole` is asked for, a step of 0 or
    in the wrong direction, a count of 0, and for more than LIMIT values.
    """
    if _SINGLE.fullmatch(cell):
        found = [Decimal(cell)]
    else:
        match = _RANGE.fullmatch(cell)
        if match is None:
            raise UsageError(
                f"{escape(cell)}: is no number and no range (ranges: 1-5, 1-10 (+2), 1-10 [4])"
            )
        found = _spread(cell, *match.groups())
    if not whole:
        return tuple(float(number) for number in found)
    if "[" not in cell and any(number % 1 for number in found):
        raise UsageError(f"{escape(cell)}: only whole numbers are of use here")
    return tuple(int(number) for number in found)


def _spread(cell: str, low: str, high: str, step: str | None, count: str | None) -> list[Decimal]:
    start, end = Decimal(low), Decimal(high)
    if count is not None:
        return _evenly(cell, start, end, int(count))
    stride = Decimal(step) if step else Decimal(1 if start <= end else -1)
    if not stride or (end - start) * stride < 0:
        raise UsageError(f"{escape(cell)}: steps of {stride} do not lead from {start} to {end}")
    steps = int((end - start) / stride)
    _check_many(cell, steps + 1)
    return [start + stride * number for number in range(steps + 1)]


def _evenly(cell: str, start: Decimal, end: Decimal, count: int) -> list[Decimal]:
    _check_many(cell, count)
    if count == 1:
        return [start]
    return [start + (end - start) * number / (count - 1) for number in range(count)]


def _check_many(cell: str, count: int) -> None:
    if not 0 < count <= LIMIT:
        raise UsageError(f"{escape(cell)}: gives {count} values; 1 to {LIMIT} are possible")
