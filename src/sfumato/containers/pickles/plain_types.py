"""Emulations of Python's own types: pure functions from pickled arguments to plain values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from sfumato.containers.pickles.values import Global, Key, Parameters, Record, Value

KEYS: frozenset[type] = frozenset({str, bytes, int, float, bool, type(None)})
LARGEST_KEY = 2**63

LONGEST_INTEGER = 80
"""digits; enough for the 256 bits of a random generator's state"""

INTEGER = re.compile(rf"[+-]?[0-9]{{1,{LONGEST_INTEGER}}}")
FLOAT = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,6})?|inf|infinity|nan)", re.IGNORECASE
)
LONGEST_FLOAT = 400


class Malformed(Exception):
    """Arguments that the real function would not take; the text is one clause."""


class Foreign(Exception):
    """Arguments with which the real function does more than its emulation."""


class Unread(Exception):
    """Something sound that is known and not read; the text is one clause."""


def as_key(value: Value) -> Key:
    """The value as a dictionary key; Malformed where hashing it could take long, or never end.

    Lightning 1.x keys its callbacks by class: such a key becomes the dotted name.
    """
    if type(value) is str:
        return value
    if isinstance(value, Global):
        return value.dotted
    if value is None or isinstance(value, bytes | float):
        return value
    if isinstance(value, int):
        if -LARGEST_KEY <= value < LARGEST_KEY:
            return value
        raise Malformed("a key is a number of more than 64 bits")
    raise Malformed(f"a key is a {type(value).__name__}, not text or a number")


def pairs(value: Value) -> Iterator[tuple[Key, Value]]:
    """The pairs of a dictionary, or of a list of pairs."""
    if isinstance(value, dict):
        yield from value.items()
        return
    for pair in elements(value):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise Malformed("a dictionary is made of something that is not pairs")
        yield as_key(pair[0]), pair[1]


def elements(value: Value) -> Iterable[Value]:
    """What a list, tuple or set holds; the keys of a dictionary."""
    if isinstance(value, list | tuple | dict | set | frozenset):
        return value
    raise Malformed(f"a {type(value).__name__} stands where a list should")


def only(arguments: tuple[Value, ...], default: Value) -> Value:
    """The one argument; `default` where there is none."""
    if len(arguments) > 1:
        raise Malformed(f"{len(arguments)} arguments stand where one should")
    return arguments[0] if arguments else default


def make_dict(arguments: tuple[Value, ...]) -> Value:
    """dict, OrderedDict, Counter: of a dictionary or a list of pairs."""
    source = only(arguments, ())
    return dict(pairs(source))


def make_counter(arguments: tuple[Value, ...]) -> Value:
    """Counter of a dictionary; counting things anew is not emulated."""
    source = only(arguments, {})
    if not isinstance(source, dict):
        raise Foreign
    return dict(source)


def make_defaultdict(arguments: tuple[Value, ...]) -> Value:
    """defaultdict: what it makes for a missing key is forgotten."""
    if arguments and not (arguments[0] is None or isinstance(arguments[0], Global)):
        raise Malformed("a defaultdict does not begin with a type")
    return make_dict(arguments[1:])


def make_parameters(arguments: tuple[Value, ...]) -> Value:
    """ParameterDict, empty until BUILD fills it."""
    if arguments:
        raise Foreign
    return Parameters()


def make_list(arguments: tuple[Value, ...]) -> Value:
    """list of anything that is listed."""
    return list(elements(only(arguments, ())))


def make_tuple(arguments: tuple[Value, ...]) -> Value:
    """tuple of anything that is listed; torch.Size is one, too."""
    return tuple(elements(only(arguments, ())))


def make_set(arguments: tuple[Value, ...]) -> Value:
    """set of keys."""
    return {as_key(item) for item in elements(only(arguments, ()))}


def make_frozenset(arguments: tuple[Value, ...]) -> Value:
    """frozenset of keys."""
    return frozenset(as_key(item) for item in elements(only(arguments, ())))


def make_bytes(arguments: tuple[Value, ...]) -> Value:
    """bytes of bytes; bytes(n) would allocate what the file says."""
    return _raw(arguments)


def make_bytearray(arguments: tuple[Value, ...]) -> Value:
    """bytearray of bytes, or of text in the one encoding that is the identity."""
    return bytearray(_raw(arguments))


def _raw(arguments: tuple[Value, ...]) -> bytes:
    if len(arguments) == 2:
        encoded = encode(arguments)
        assert isinstance(encoded, bytes)
        return encoded
    source = only(arguments, b"")
    if not isinstance(source, bytes | bytearray):
        raise Malformed(f"bytes are made of a {type(source).__name__}")
    return bytes(source)


def encode(arguments: tuple[Value, ...]) -> Value:
    """_codecs.encode, as protocols below 3 write bytes: Latin-1 only."""
    text, encoding = arguments if len(arguments) == 2 else (None, None)
    if not isinstance(encoding, str) or encoding not in ("latin1", "latin-1"):
        raise Foreign
    if not isinstance(text, str):
        raise Malformed("something that is not text is encoded")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise Malformed("text for bytes holds characters beyond Latin-1") from None


def make_int(arguments: tuple[Value, ...]) -> Value:
    """int, long of a number or of decimal digits."""
    source = only(arguments, 0)
    if isinstance(source, float) and math.isfinite(source) and abs(source) < LARGEST_KEY:
        return int(source)
    if isinstance(source, str) and INTEGER.fullmatch(source):
        return int(source)
    if isinstance(source, int):
        return int(source)
    raise Malformed("a number is made of something that is none")


def make_float(arguments: tuple[Value, ...]) -> Value:
    """float of a number or of text."""
    source = only(arguments, 0.0)
    if isinstance(source, str) and len(source) <= LONGEST_FLOAT and FLOAT.fullmatch(source):
        return float(source)
    if isinstance(source, int | float):
        return float(source)
    raise Malformed("a number is made of something that is none")


def make_bool(arguments: tuple[Value, ...]) -> Value:
    """bool of a number or of nothing."""
    source = only(arguments, False)
    if source is None or isinstance(source, int | float):
        return bool(source)
    raise Malformed("a truth value is made of something that is no number")


def make_complex(arguments: tuple[Value, ...]) -> Value:
    """complex of one or two numbers."""
    numbers = [value for value in arguments if isinstance(value, int | float)]
    if len(numbers) != len(arguments) or len(numbers) > 2:
        raise Malformed("a complex number is made of something that is no number")
    return complex(*numbers)


def make_text(arguments: tuple[Value, ...]) -> Value:
    """str of a str: anything else would be printed."""
    source = only(arguments, "")
    if not isinstance(source, str):
        raise Foreign
    return source


def make_object(arguments: tuple[Value, ...]) -> Value:
    """object(): a record of nothing."""
    if arguments:
        raise Malformed("an object is made with arguments")
    return Record(Global("builtins", "object"))


def make_slice(arguments: tuple[Value, ...]) -> Value:
    """slice: kept as a record of its bounds."""
    return Record(Global("builtins", "slice"), arguments)


def make_range(arguments: tuple[Value, ...]) -> Value:
    """range: kept as a record of its bounds, never unrolled."""
    return Record(Global("builtins", "range"), arguments)
