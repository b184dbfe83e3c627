"""Beside picklescan: every name that it finds in a payload is in our journal, and refused."""

from __future__ import annotations

import contextlib
import io
import logging

import pytest
from picklescan import scanner

from hostile import opcodes as op
from sfumato.containers.journal import Journal
from sfumato.containers.pickles.machine import run
from sfumato.containers.pickles.risks import kin
from sfumato.containers.pickles.values import Global
from sfumato.errors import BadFile

ID = op.string("id")
INNER = op.pickle(op.call(op.global_("os", "system"), ID))

SHAPES = {
    "reduce": lambda m, n: op.pickle(op.call(op.global_(m, n), ID)),
    "protocol 0": lambda m, n: op.global_(m, n) + b"(S'id'\np0\ntp1\nRp2\n.",
    "inst": lambda m, n: op.MARK + ID + op.inst(m, n) + op.STOP,
    "obj": lambda m, n: op.MARK + op.global_(m, n) + ID + op.OBJ + op.STOP,
    "obj, dropped": lambda m, n: op.pickle(op.MARK, op.global_(m, n), ID, op.OBJ, b"0}"),
    "stack global": lambda m, n: op.pickle4(op.call(op.stack_global(m, n), ID)),
    "framed": lambda m, n: op.proto(4) + op.framed(op.call(op.stack_global(m, n), ID) + op.STOP),
    "memo": lambda m, n: op.pickle4(
        op.short(m) + op.MEMOIZE + op.short(n) + op.MEMOIZE + b"00" + op.short("x") + b"0",
        op.call(op.get(0) + op.get(1) + op.STACK_GLOBAL, ID),
    ),
    "newobj": lambda m, n: op.pickle(op.global_(m, n), ID, op.TUPLE1, op.NEWOBJ),
    "newobj_ex": lambda m, n: op.pickle4(
        op.stack_global(m, n), ID, op.TUPLE1, b"}", op.NEWOBJ_EX
    ),
    "build": lambda m, n: op.pickle(op.global_(m, n), b"}", op.text("a"), op.NONE, b"s", op.BUILD),
    "only named": lambda m, n: op.pickle(op.global_(m, n)),
    "in a state dict": lambda m, n: op.pickle(
        b"}(", op.text("a"), b"}", op.text("callbacks"), op.call(op.global_(m, n), ID), b"u"
    ),
    "then damage": lambda m, n: op.pickle(op.call(op.global_(m, n), ID))[:-1] + b"X\x3e\x0a\x66 a",
    "after another": lambda m, n: op.pickle(b"}") + op.pickle(op.call(op.global_(m, n), ID)),
    "without protocol": lambda m, n: op.call(op.global_(m, n), ID) + op.STOP,
}  # fmt: skip
"""ways to write a call of one name"""

NAMES = (
    ("os", "system"),
    ("posix", "system"),
    ("builtins", "eval"),
    ("__builtin__", "exec"),
    ("subprocess", "Popen"),
)

SPECIAL = {
    "pickle in bytes": op.pickle(op.call(op.global_("pickle", "loads"), op.data(INNER))),
    "resolved by name": op.pickle(
        op.call(op.call(op.global_("pkgutil", "resolve_name"), op.text("os:system")), ID)
    ),
    "partial": op.pickle(
        op.call(op.global_("functools", "partial"), op.global_("os", "system"), ID)
    ),
    "attribute of a module": op.pickle(
        op.call(op.call(op.global_("builtins", "getattr"), op.global_("os", "path"),
                        op.text("os")), ID)
    ),
    "dotted": op.pickle4(op.call(op.stack_global("builtins", "eval.__call__"), ID)),
    "submodule": op.pickle(
        op.call(op.global_("asyncio.unix_events", "_UnixSubprocessTransport._start"), b"}")
    ),
    "in the arguments of an allowed call": op.pickle(
        op.call(op.global_("collections", "OrderedDict"), b"](" + op.text("k")
                + op.call(op.global_("os", "system"), ID) + b"\x86e")
    ),
    "two in one": op.pickle(
        op.call(op.global_("os", "system"), ID), b"0", op.call(op.global_("shutil", "rmtree"), ID)
    ),
    "runstring": op.pickle(
        op.call(op.global_("numpy.testing._private.utils", "runstring"), ID, b"}")
    ),
    "code": op.pickle(op.call(op.global_("types", "CodeType"), op.NONE)),
}  # fmt: skip

PAYLOADS = {
    f"{shape} {'.'.join(name)}": build(*name) for shape, build in SHAPES.items() for name in NAMES
} | SPECIAL


def ours(stream: bytes) -> Journal:
    """The journal of every pickle in the stream."""
    journal = Journal()
    at = 0
    with contextlib.suppress(BadFile):
        while at < len(stream):
            _, at = run(stream, path="toy.pkl", where="toy", journal=journal, start=at)
    return journal


@pytest.mark.row(54)
@pytest.mark.parametrize("stream", PAYLOADS.values(), ids=PAYLOADS)
def test_whatever_picklescan_flags_is_refused_here(stream: bytes) -> None:
    logging.getLogger("picklescan").setLevel(logging.CRITICAL)
    found = scanner.scan_pickle_bytes(io.BytesIO(stream), "toy.pkl").globals
    flagged = {f"{g.module}.{g.name}" for g in found if g.safety != scanner.SafetyLevel.Innocuous}
    names = ours(stream).names("refused")
    assert names
    assert not flagged - set(names)


def test_no_name_on_its_list_of_dangers_is_emulated_or_inert() -> None:
    for module, names in scanner._unsafe_globals.items():
        for name in ("Anything", "anything") if names == "*" else names:
            assert kin(Global(module, name)).risk == "refused", (module, name)


def test_every_name_it_calls_safe_is_emulated() -> None:
    for module, names in scanner._safe_globals.items():
        for name in names:
            assert kin(Global(module, name)).risk == "allowed", (module, name)
