"""An axis of a grid: a parameter and its values, read from a line of text and checked at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise, permutations
from math import factorial

from sfumato.containers.text import escape
from sfumato.engine.grid.parameters import PARAMETERS, UNKNOWN_HERE, Parameter, Value
from sfumato.engine.grid.prompts import NONE
from sfumato.engine.grid.values import LIMIT, read_numbers, split_cells
from sfumato.engine.request import Request
from sfumato.errors import UsageError

ALL = "all"
"""the one cell that stands for every name of the list"""

BARE = ("", "none", "auto", "automatic")
"""values that would say nothing by themselves"""

SMALLEST, LARGEST = 8, 16384
"""pixels of a side"""

_SIZE = re.compile(r"([0-9]{1,5})\s*[x×*]\s*([0-9]{1,5})", re.IGNORECASE)
_SWITCHES = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class Lookup:
    """A list of names that the values of an axis come from."""

    find: Callable[[str], str]
    """the name as it is called, for what a person wrote; raises UsageError with the nearest"""
    every: Callable[[], Sequence[str]]
    """all names, for `all`"""


Lookups = Mapping[str, Lookup]
"""by the word in `Parameter.lookup`"""


@dataclass(frozen=True, slots=True)
class Axis:
    """A parameter with the values it takes."""

    parameter: Parameter
    values: tuple[Value, ...]
    labels: tuple[str, ...]
    """beside each row or above each column"""
    text: str
    """the values as they were written"""

    def put(self, request: Request, index: int) -> Request:
        """`request` with the value of this place."""
        return self.parameter.put(request, self.values[index])

    def title(self, index: int) -> str:
        """The label with the parameter's name, where numbers alone would say nothing."""
        label = self.labels[index]
        bare = self.parameter.kind in ("int", "float", "switch") or label.lower() in BARE
        return f"{self.parameter.label}: {label}" if bare else label


def find_parameter(name: str) -> Parameter:
    """The parameter of this name, alias or A1111 label, whatever its case and punctuation.

    Raises UsageError with the nearest names.
    """
    wanted = _plain(name)
    for parameter in PARAMETERS:
        if wanted in map(_plain, (parameter.name, parameter.label, *parameter.aliases)):
            return parameter
    for known, reason in UNKNOWN_HERE.items():
        if wanted == _plain(known):
            raise UsageError(f"{escape(name)}: cannot be an axis: {reason}")
    near = get_close_matches(name.lower(), [p.name for p in PARAMETERS], 3, 0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`sfumato grid --help` lists them"
    raise UsageError(f"{escape(name)}: is no parameter that can be an axis; {hint}")


def read_axis(text: str, base: Request, lookups: Lookups) -> Axis:
    """An axis from `NAME: VALUES`, as in `cfg: 4-10 (+2)` or `sampler: Euler a, "DPM++ 2M"`.

    Every value is checked now, before anything is painted: numbers against their bounds, names
    against their list, words against the prompt of `base`. Raises UsageError.
    """
    name, colon, rest = text.partition(":")
    if not colon or not name.strip():
        raise UsageError(f"{escape(text)}: an axis is NAME: VALUES, as in 'cfg: 4, 7, 10'")
    parameter = find_parameter(name.strip())
    cells = split_cells(rest)
    try:
        values, labels = _read(parameter, cells, base, lookups)
    except UsageError as error:
        raise UsageError(f"axis {parameter.name}: {error}") from None
    if len(values) > LIMIT:
        raise UsageError(f"axis {parameter.name}: {len(values)} values; at most {LIMIT}")
    return Axis(parameter, values, labels, rest.strip())


def _read(
    parameter: Parameter, cells: tuple[str, ...], base: Request, lookups: Lookups
) -> tuple[tuple[Value, ...], tuple[str, ...]]:
    """Values and labels."""
    match parameter.kind:
        case "int" | "float":
            return _numbers(parameter, cells)
        case "choice":
            names = _choices(lookups[parameter.lookup], cells)
            return names, tuple(
                re.split(r"[/\\]", name)[-1] for name in names
            )  # of a path, the end
        case "tag":
            found = tuple(v for cell in cells for v in _tags(lookups[parameter.lookup], cell))
            return found, found
        case "switch":
            return tuple(_switch(cell) for cell in cells), cells
        case "size":
            return tuple(_size(cell) for cell in cells), cells
        case "search":
            return _search(cells, base), cells
        case "order":
            return _orders(cells, base)
        case "styles":
            find = lookups[parameter.lookup].find
            return tuple(_styles(cell, find) for cell in cells), cells
        case "text":
            return cells, cells


def _numbers(
    parameter: Parameter, cells: tuple[str, ...]
) -> tuple[tuple[Value, ...], tuple[str, ...]]:
    whole = parameter.kind == "int"
    values = tuple(number for cell in cells for number in read_numbers(cell, whole=whole))
    low, high = parameter.lowest, parameter.highest
    for value in values:
        if (low is not None and value < low) or (high is not None and value > high):
            least = f"at least {low:g}" if low is not None else ""
            most = f"at most {high:g}" if high is not None else ""
            limits = " and ".join(bound for bound in (least, most) if bound)
            raise UsageError(f"{value:g} is out of bounds; {limits}")
    return values, tuple(str(value) if whole else f"{value:g}" for value in values)


def _choices(lookup: Lookup, cells: tuple[str, ...]) -> tuple[str, ...]:
    if len(cells) == 1 and cells[0].lower() == ALL:
        return tuple(lookup.every())
    return tuple(lookup.find(cell) for cell in cells)


def _tags(lookup: Lookup, cell: str) -> tuple[str, ...]:
    """`NAME`, `NAME:0.8`, `NAME:0.2-1 (+0.2)`, `None` or `all`."""
    if cell.lower() == ALL:
        return tuple(lookup.every())
    if cell.lower() in ("none", ""):
        return (NONE,)
    name, colon, weights = cell.rpartition(":")
    if not colon:
        return (lookup.find(cell),)
    found = lookup.find(name.strip())
    return tuple(f"{found}:{weight:g}" for weight in read_numbers(weights.strip(), whole=False))


def _switch(cell: str) -> bool:
    if cell.lower() not in _SWITCHES:
        raise UsageError(f"{escape(cell)}: is neither on nor off")
    return _SWITCHES[cell.lower()]


def _size(cell: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(cell)
    if match is None:
        raise UsageError(f"{escape(cell)}: is no size; sizes are WIDTHxHEIGHT, as in 512x768")
    width, height = int(match[1]), int(match[2])
    if not SMALLEST <= min(width, height) <= max(width, height) <= LARGEST:
        raise UsageError(f"{escape(cell)}: sides are from {SMALLEST} to {LARGEST} pixels")
    return width, height


def _search(cells: tuple[str, ...], base: Request) -> tuple[Value, ...]:
    if not cells[0] or (cells[0] not in base.prompt and cells[0] not in base.negative):
        raise UsageError(f"{escape(cells[0])}: is looked for and not in the prompt")
    return tuple((cells[0], cell) for cell in cells)


def _orders(
    cells: tuple[str, ...], base: Request
) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    absent = [word for word in cells if word not in base.prompt]
    if absent:
        raise UsageError(f"{escape(absent[0])}: is not in the prompt")
    places = sorted((base.prompt.find(word), len(word)) for word in cells)
    if any(a + size > b for (a, size), (b, _) in pairwise(places)):
        raise UsageError("the words overlap in the prompt")
    if factorial(len(cells)) > LIMIT:
        raise UsageError(f"{len(cells)} words have more than {LIMIT} orders")
    orders = tuple(permutations(cells))
    return orders, tuple(", ".join(words) for words in orders)


def _styles(cell: str, find: Callable[[str], str]) -> tuple[str, ...]:
    if cell.lower() in ("none", ""):
        return ()
    return tuple(find(name.strip()) for name in cell.split(","))


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
