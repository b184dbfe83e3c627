"""The text that says how a picture was made, in A1111's grammar: written and read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

NEGATIVE = "Negative prompt:"

ENOUGH = 3
"""pairs that a line must hold to be the settings, and not a line of the prompt"""

LONGEST = 1 << 20
"""characters of a line that may be settings"""

RAW = ("Hashes", "Civitai resources", "Civitai metadata")
"""keys whose value is JSON and is written without quotes: so does Civitai's own extension"""

_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_JSON = json.JSONDecoder()

_TRIES = 32
"""values of one line that are tried as JSON; honest lines have three"""


@dataclass(frozen=True, slots=True)
class Record:
    """How a picture was made: two prompts, and settings under A1111's names."""

    prompt: str = ""
    negative: str = ""
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    """setting → value, in written order; sizes stay one value ("512x768")"""


def write_text(record: Record) -> str:
    """The text of a record: prompt, negative prompt, and one line of settings.

    What `read_text` gives back is equal, where the record has at least three fields and no line of
    a prompt begins or ends with a blank or begins with "Negative prompt:". A value is quoted as
    JSON where A1111 quotes it (a comma, a colon, a line end in it), and also where it would not be
    read back (blanks around it, quotes, a value equal to its key). Raises ValueError for a key that
    the grammar has no place for.
    """
    negative = f"\n{NEGATIVE} {record.negative}" if record.negative else ""
    settings = ", ".join(f"{_checked(k)}: {_shown(k, v)}" for k, v in record.fields.items())
    return f"{record.prompt}{negative}\n{settings}".strip()


def read_text(text: str) -> Record:
    """The record of a text, by A1111's rules; never fails, and takes linear time.

    The last line is the settings where it has three pairs or more. Where it has not, the last line
    that begins with "Steps: " is taken, as Civitai does: extensions write lines of their own
    behind it.
    """
    lines = text.strip().split("\n")
    place = _settings(lines)
    fields = dict(pairs(lines[place])) if place < len(lines) else {}
    prompts: tuple[list[str], list[str]] = ([], [])
    which = 0
    for line in map(str.strip, lines[:place]):
        if line.startswith(NEGATIVE):
            which, line = 1, line[len(NEGATIVE) :].strip()
        # An empty first line is no line: "Negative prompt:" may stand alone above its text.
        if prompts[which] or line:
            prompts[which].append(line)
    return Record("\n".join(prompts[0]), "\n".join(prompts[1]), fields)


def pairs(line: str) -> Iterator[tuple[str, str]]:
    """Keys and values of a line of settings; text that is no pair is passed over."""
    place, tries = 0, _TRIES
    while (colon := line.find(":", place)) >= 0:
        key = _key(line, place, colon)
        place = colon + 1
        if key:
            while place < len(line) and line[place].isspace():
                place += 1
            tries -= line[place : place + 1] in ("{", "[")
            value, place = _value(line, place, structured=tries > 0)
            if len(key := key.rstrip()) > 1:
                yield key, value


def _settings(lines: list[str]) -> int:
    """Index of the line with the settings; the number of lines where there is none."""
    if _enough(lines[-1]):
        return len(lines) - 1
    for place in reversed(range(len(lines))):
        if lines[place].startswith("Steps: ") and _enough(lines[place]):
            return place
    return len(lines)


def _enough(line: str) -> bool:
    return len(line) <= LONGEST and len(list(islice(pairs(line), ENOUGH))) == ENOUGH


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _key(line: str, place: int, colon: int) -> str:
    """The key that ends before `colon` and begins at `place` or later; empty for none.

    It begins with a letter, digit or underscore, goes on with these, blanks, `-` and `/`, and has
    two characters or more, of which the last may be blanks.
    """
    start = colon
    while start > place and (_is_word(line[start - 1]) or line[start - 1] in " -/"):
        start -= 1
    key = line[start:colon].lstrip(" -/")
    return key if len(key) > 1 else ""


def _value(line: str, place: int, *, structured: bool) -> tuple[str, int]:
    """The value that begins at `place`, and where the next pair may begin."""
    first = line[place : place + 1]
    quoted = _QUOTED.match(line, place) if first == '"' else None
    if quoted is not None and _closes(line, quoted.end()):
        return _unquoted(quoted.group()), quoted.end() + 1
    if structured and first in ("{", "["):
        end = _end_of_json(line, place)
        if end and _closes(line, end):
            return line[place:end], end + 1
    end = line.find(",", place)
    end = len(line) if end < 0 else end
    return line[place:end].strip(), end + 1


def _closes(line: str, end: int) -> bool:
    return end == len(line) or line[end] == ","


def _unquoted(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text


def _end_of_json(line: str, place: int) -> int:
    """Where a JSON value that begins at `place` ends; 0 where there is none."""
    try:
        return _JSON.raw_decode(line, place)[1]
    except (ValueError, RecursionError):
        return 0


def _checked(key: str) -> str:
    if _key(key, 0, len(key)) != key or len(key.rstrip()) < max(2, len(key)):
        raise ValueError(f"{key!r} is no key: letters, digits, blanks, - and / make one")
    return key


def _shown(key: str, value: str) -> str:
    if key in RAW and "\n" not in value and _end_of_json(value, 0) == len(value):
        return value
    special = any(mark in value for mark in ",:\n") or value.startswith('"')
    if special or value != value.strip() or value == key:
        return json.dumps(value, ensure_ascii=False)
    return value
