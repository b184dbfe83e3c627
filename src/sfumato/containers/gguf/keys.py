"""The metadata of a GGUF file: typed values, as a person reads them."""

from __future__ import annotations

from dataclasses import dataclass

from sfumato.containers.gguf.cursor import Cursor
from sfumato.containers.text import escape

ALIGNMENT = "general.alignment"

ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
"""ComfyUI-GGUF reshapes tensors whose rows do not fill blocks, and keeps the shape they had"""

SHOWN = 16
"""elements of an array that are shown; the rest is counted"""

NESTING = 8
"""arrays inside arrays; no known program writes even two"""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value type of fixed size."""

    code: int
    name: str
    form: str
    """as `struct` spells it"""
    size: int


SCALARS = (
    Scalar(0, "u8", "B", 1),
    Scalar(1, "i8", "b", 1),
    Scalar(2, "u16", "H", 2),
    Scalar(3, "i16", "h", 2),
    Scalar(4, "u32", "I", 4),
    Scalar(5, "i32", "i", 4),
    Scalar(6, "f32", "f", 4),
    Scalar(7, "bool", "?", 1),
    Scalar(10, "u64", "Q", 8),
    Scalar(11, "i64", "q", 8),
    Scalar(12, "f64", "d", 8),
)
STRING, ARRAY = 8, 9

_SCALARS = {scalar.code: scalar for scalar in SCALARS}

Value = str | int | float | bool
Values = list["Value | Values"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One key with its value."""

    code: int
    """the value's type"""
    value: Value | Values
    """of an array, only its first elements"""
    count: int = 1
    """how many elements an array has"""

    @property
    def text(self) -> str:
        """The value as metadata shows it."""
        if isinstance(self.value, list):
            return _array_text(self.value, self.count)
        return _text(self.value)


def read_keys(cursor: Cursor, count: int) -> dict[str, Entry]:
    """All keys in file order; raises Damaged for a key that stands twice."""
    found: dict[str, Entry] = {}
    for number in range(count):
        key = cursor.name(f"key {number + 1} of {count}")
        if key in found:
            raise cursor.damaged(f"the key {escape(key)} stands twice")
        found[key] = _entry(cursor, cursor.u32("the type of a key"), f"the value of {escape(key)}")
    return found


def _entry(cursor: Cursor, code: int, what: str, depth: int = 0) -> Entry:
    if code == STRING:
        return Entry(code, cursor.text(what, cursor.limits.metadata_value))
    if code == ARRAY:
        return _array(cursor, what, depth)
    scalar = _scalar(cursor, code, what)
    return Entry(code, cursor.number(scalar.form, scalar.size, what))


def _scalar(cursor: Cursor, code: int, what: str) -> Scalar:
    if code not in _SCALARS:
        raise cursor.damaged(f"{what} has type {code}, where 0 to 12 are known")
    return _SCALARS[code]


def _array(cursor: Cursor, what: str, depth: int) -> Entry:
    if depth == NESTING:
        raise cursor.damaged(f"{what} nests arrays deeper than {NESTING}")
    code = cursor.u32(f"the element type of {what}")
    if code in (STRING, ARRAY):
        limits = cursor.limits
        least, most = (8, limits.gguf_entries) if code == STRING else (12, limits.gguf_keys)
        count = cursor.count(f"elements of {what}", least, most)
        elements: Values = []
        for number in range(count):
            entry = _entry(cursor, code, what, depth + 1)
            if number < SHOWN:
                elements.append(entry.value)
        return Entry(ARRAY, elements, count)
    scalar = _scalar(cursor, code, what)
    count = cursor.count(f"elements of {what}", scalar.size, cursor.source.size)
    shown: Values = [
        cursor.number(scalar.form, scalar.size, what) for _ in range(min(count, SHOWN))
    ]
    cursor.skip((count - len(shown)) * scalar.size, what)
    return Entry(ARRAY, shown, count)


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _array_text(values: Values, count: int) -> str:
    shown = (
        _array_text(value, len(value)) if isinstance(value, list) else _text(value)
        for value in values
    )
    more = f", … {count} values" if count > len(values) else ""
    return f"[{', '.join(shown)}{more}]"
