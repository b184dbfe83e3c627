"""JSON from strangers: to the letter of RFC 8259, no key twice, bounded in depth and in number."""

from __future__ import annotations

import json
from typing import NoReturn

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

SEPARATORS = 1_200_000
"""commas and brackets a text may have; each costs up to 64 bytes of memory as a Python value"""

COLONS = 450_000
"""colons a text may have; a key with its value costs up to 250 bytes"""


class JsonError(ValueError):
    """Not JSON, or JSON that readers may understand in different ways; the text is one clause."""


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """An object without repeated keys: readers differ in whether the first or the last counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen = set[str]()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise JsonError(f"the key {twice[:100]!a} stands twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant)


def parse_json(raw: bytes) -> Json:
    """The value of a JSON text; raises JsonError for anything else, whatever the bytes."""
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > SEPARATORS:
        raise JsonError(f"more than {SEPARATORS} values")
    if raw.count(b":") > COLONS:
        raise JsonError(f"more than {COLONS} keys with their values")
    try:
        return _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise JsonError(f"not JSON at character {error.pos} ({error.msg})") from error
    except RecursionError as error:
        raise JsonError("lists or objects nested too deeply") from error
    except MemoryError as error:
        raise JsonError("needs more memory than there is") from error
    except ValueError as error:
        if isinstance(error, JsonError):
            raise
        raise JsonError("a number with thousands of digits") from error
