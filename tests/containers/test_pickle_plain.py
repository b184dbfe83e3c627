"""What CPython pickles, the machine reads: plain values and Python's own types, all protocols."""

from __future__ import annotations

import argparse
import collections
import datetime
import math
import pathlib
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.containers.journal import Event, Journal
from sfumato.containers.pickles.machine import run
from sfumato.containers.pickles.values import Global, Record, Value
from sfumato.errors import Damaged

PROTOCOLS = pytest.mark.parametrize("protocol", range(6))

leaves = (
    st.none() | st.booleans() | st.integers(-(2**255), 2**255 - 1) | st.floats(allow_nan=False)
    | st.text() | st.binary()
)  # fmt: skip
keys = st.text() | st.integers(-(2**63), 2**63 - 1) | st.binary() | st.booleans() | st.none()
plain = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(keys, inner)
        | st.tuples(inner)
        | st.tuples(inner, inner, inner, inner)
    ),
    max_leaves=12,
)


def read(stream: bytes, start: int = 0) -> tuple[Value, Journal]:
    journal = Journal()
    value, _ = run(stream, path="toy.pkl", where="toy", journal=journal, start=start)
    return value, journal


@PROTOCOLS
@settings(max_examples=60, deadline=None)
@given(value=plain)
def test_reading_is_the_inverse_of_pickling(protocol: int, value: Value) -> None:
    read_back, journal = read(pickle.dumps(value, protocol))
    assert read_back == value and not journal.dangerous


@PROTOCOLS
def test_the_types_of_leaves_survive(protocol: int) -> None:
    value = [True, 1, 1.0, "1", b"1", None, -0.0, math.inf, "\ud800", "\U0001f600", "a\nb\\u0041"]
    read_back, _ = read(pickle.dumps(value, protocol))
    assert list(map(repr, read_back)) == list(map(repr, value))


@PROTOCOLS
@pytest.mark.parametrize(
    "value",
    [{1, "a"}, frozenset({2.5}), bytearray(b"ab\xff"), b"", complex(1, -2), set(), bytearray()],
)
def test_builtin_types_survive(protocol: int, value: Value) -> None:
    read_back, journal = read(pickle.dumps(value, protocol))
    assert read_back == value and type(read_back) is type(value)
    assert not journal.names("inert") and not journal.dangerous


@PROTOCOLS
def test_dictionaries_of_the_collections_module_become_plain(protocol: int) -> None:
    default = collections.defaultdict(list, {"a": [1]})
    value = [collections.OrderedDict(x=1), collections.Counter("aab"), default]
    read_back, journal = read(pickle.dumps(value, protocol))
    assert read_back == [{"x": 1}, {"a": 2, "b": 1}, {"a": [1]}]
    assert all(event.risk == "allowed" for event in journal)


@PROTOCOLS
def test_shared_values_stay_shared(protocol: int) -> None:
    shared = ["x"]
    read_back, _ = read(pickle.dumps({"a": shared, "b": shared}, protocol))
    assert read_back["a"] is read_back["b"]


@PROTOCOLS
def test_a_bounded_range_is_not_unrolled(protocol: int) -> None:
    value, journal = read(pickle.dumps([range(10**12), slice(1, 2)], protocol))
    assert [(item.origin.name, item.arguments[:2]) for item in value] == [
        ("range", (0, 10**12)),
        ("slice", (1, 2)),
    ]
    assert not journal.dangerous


@PROTOCOLS
@pytest.mark.parametrize(
    "value",
    [
        pathlib.PurePosixPath("a/b"),
        argparse.Namespace(lr=1e-4),
        datetime.timedelta(1),
        collections.deque([1]),
    ],
)
def test_harmless_objects_become_records(protocol: int, value: object) -> None:
    read_back, journal = read(pickle.dumps(value, protocol))
    assert isinstance(read_back, Record) and read_back.origin.name == type(value).__name__
    assert journal.names("inert") == [read_back.origin.dotted] and not journal.dangerous


@PROTOCOLS
def test_the_state_of_a_record_is_kept(protocol: int) -> None:
    read_back, _ = read(pickle.dumps(argparse.Namespace(lr=0.5, name="x"), protocol))
    assert read_back.state == {"lr": 0.5, "name": "x"}


@PROTOCOLS
def test_a_function_that_is_only_named_is_refused(protocol: int) -> None:
    value, journal = read(pickle.dumps({"f": math.sqrt}, protocol))
    assert value["f"] == Global("math", "sqrt") and journal.names("refused") == ["math.sqrt"]


def test_pickles_after_each_other_are_read_one_by_one() -> None:
    stream = b"junk" + pickle.dumps(1) + pickle.dumps("two") + b"rest"
    first, middle = run(stream, path="f", where="w", journal=Journal(), start=4)
    second, end = run(memoryview(stream), path="f", where="w", journal=Journal(), start=middle)
    assert (first, second, stream[end:]) == (1, "two", b"rest")


def test_events_say_what_where_and_with_which_arguments() -> None:
    _, journal = read(b"\x80\2N0cos\nsystem\n(X\4\0\0\0rm \x1bK\1tR.")
    assert journal.events == [
        Event("import", "os.system", "refused", 4, "toy"),
        Event("call", "os.system", "refused", 28, "toy", "'rm \\x1b', 1"),
    ]


def test_arguments_in_the_journal_are_short_whatever_they_are() -> None:
    laughs = b"]q\0" + b"".join(b"](" + b"h\0" * 10 + b"eq\0" for _ in range(9)) + b"0"
    text = b"X\xff\xff\0\0" + b"x" * 65535
    _, journal = read(b"\x80\2" + laughs + b"cos\nsystem\nh\0" + text + b"\x86R0N.")
    assert len(journal.refused[-1].arguments) <= 400


def test_values_left_on_the_stack_are_noted() -> None:
    _, journal = read(b"K\1K\2(K\3K\4.")
    assert [event.name for event in journal] == ["leaves 3 values on the stack"]


def test_strings_of_python_2_are_text_where_they_can_be() -> None:
    value, _ = read(b"(U\3abcT\2\0\0\0\xc3\xa9U\2\xff\xfeS'\\x41\\n\\101'\nV\\u00e9\nl.")
    assert value == ["abc", "é", b"\xff\xfe", "A\nA", "é"]


def test_a_class_as_a_key_becomes_its_name() -> None:
    # Lightning 1.x keyed the states of callbacks by class
    stream = b"\x80\2}cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n}s."
    value, journal = read(stream)
    assert value == {"pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint": {}}
    assert not journal.dangerous


PIECES = [
    b"N", b"(", b"]", b"}", b")", b"0", b"1", b"2", b"t", b"l", b"d", b"a", b"e", b"s", b"u",
    b"\x85", b"\x86", b"\x87", b"\x88", b"\x89", b"\x8f", b"\x90", b"\x91", b"\x94",
    b"q\0", b"h\0", b"p1\n", b"g1\n", b"g01\n", b"r\2\0\0\0", b"j\2\0\0\0",
    b"K\1", b"M\1\2", b"J\xff\xff\xff\xff", b"I-5\n", b"I01\n", b"L-7L\n", b"L7\n",
    b"\x8a\2\1\xff", b"\x8b\1\0\0\0\7", b"F-1e5\n", b"F.5\n", b"G\x3f\xf0\0\0\0\0\0\0",
    b"X\1\0\0\0a", b"\x8c\1b", b"V\\u0041\n", b"S'a\\'\\n\\101'\n", b"U\2\xc3\xa9",
    b"C\1c", b"B\1\0\0\0d", b"\x96\1\0\0\0\0\0\0\0e",
]  # fmt: skip
"""opcodes that name nothing, so that CPython may safely run any sequence of them"""


@settings(max_examples=400, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12))
def test_what_is_read_without_objection_is_what_cpython_reads(pieces: list[bytes]) -> None:
    stream = b"".join(pieces) + b"."
    try:
        value, _ = read(stream)
    except Damaged:
        return
    assert repr(value) == repr(pickle.loads(stream, encoding="utf-8"))
