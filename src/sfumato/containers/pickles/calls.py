"""What happens in place of a call, of the making of an object, and of the setting of its state."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from sfumato.containers.pickles import embedded, numpy_types
from sfumato.containers.pickles.emulations import Emulation
from sfumato.containers.pickles.plain_types import Foreign, Malformed, Unread, pairs
from sfumato.containers.pickles.state import Machine
from sfumato.containers.pickles.values import (
    Global,
    NumpyArray,
    NumpyDType,
    Parameters,
    PendingTensor,
    Record,
    StorageRef,
    Value,
)
from sfumato.errors import BadFile, Unsupported

SLOT = 64
"""bytes an item of a copied container is reckoned to take"""

OPENING = 8 << 10
"""bytes that opening a file inside the pickle is reckoned to cost besides its own"""

NESTED = ", inner file "
DEEPEST = 8
"""torch files inside bytes inside torch files; also the bound of the recursion through the hook"""


def invoke(m: Machine, callee: Value, arguments: Value, at: int, *, making: bool = False) -> Value:
    """What calling `callee` gives: the emulation's result, or a record of the call.

    `making` is for opcodes that make an instance without running its constructor.
    """
    m.made += 1
    if isinstance(callee, Record):
        return _refuse(m, _result_of(callee), arguments, at)
    if not isinstance(callee, Global):
        raise m.fault(at, f"calls a {type(callee).__name__}")
    if not isinstance(arguments, tuple):
        m.log(at, "call", callee.dotted, m.kin(callee).risk, (arguments,))
        raise m.fault(at, f"calls with a {type(arguments).__name__} in place of arguments")
    known = m.kin(callee)
    emulation = known.emulation
    if emulation is None:
        plain = making or known.listed or _enum_like(arguments)
        m.log(at, "call", callee.dotted, known.risk if plain else "refused", arguments)
        return Record(callee, arguments)
    return _emulate(m, callee, emulation, arguments, at)


def _emulate(
    m: Machine, callee: Global, emulation: Emulation, arguments: tuple[Value, ...], at: int
) -> Value:
    """Run the emulation; what it does not cover becomes a record."""
    try:
        if emulation.rebuilds:
            return REBUILDERS[emulation.name](m, callee, arguments, at)
        if emulation.call is None:
            return _refuse(m, callee, arguments, at)
        value = emulation.call(arguments)
    except Foreign:
        return _refuse(m, callee, arguments, at)
    except Malformed as error:
        m.postpone(at, str(error))
        return Record(callee, arguments)
    except Unread as error:
        m.leave_unread(at, str(error))
        return Record(callee, arguments)
    m.log(at, "call", callee.dotted, "allowed")
    kind = type(value)
    if isinstance(value, bytes | bytearray):
        m.spend(at, len(value))
        if emulation.name == "encode":
            embedded.consider(m.suspects, at, value)
    elif kind in SIZED:
        m.spend(at, SLOT * len(cast("list[Value]", value)))
    elif isinstance(value, NumpyArray):
        m.spend(at, len(value.data))
    return value


SIZED: frozenset[type] = frozenset({list, tuple, dict, set, frozenset})


def _refuse(m: Machine, callee: Global, arguments: Value, at: int) -> Record:
    """Record a call that could run foreign code."""
    passed = arguments if isinstance(arguments, tuple) else (arguments,)
    m.log(at, "call", callee.dotted, "refused", passed)
    return Record(callee, passed)


def _result_of(record: Record) -> Global:
    """A name for calling what another call gave."""
    name = record.origin.name
    return record.origin if name.endswith("(…)") else Global(record.origin.module, f"{name}(…)")


def _enum_like(arguments: tuple[Value, ...]) -> bool:
    """True for the arguments that look up a member of an enumeration, or none at all."""
    return not arguments or (len(arguments) == 1 and isinstance(arguments[0], str | int))


# ── functions whose first argument is what they call ──────────────────────────────────────────────


def _inner(m: Machine, callee: Value, at: int) -> Global:
    """The function to call in place of another one, which may not do so once more."""
    if not isinstance(callee, Global):
        raise Foreign
    emulation = m.kin(callee).emulation
    if emulation is not None and emulation.rebuilds and emulation.name != "_load_from_bytes":
        raise Foreign
    return callee


def _reconstructor(m: Machine, callee: Global, arguments: tuple[Value, ...], at: int) -> Value:
    """copyreg._reconstructor(class, base, state): how protocols 0 and 1 make instances."""
    if len(arguments) != 3:
        raise Foreign
    kind, state = _inner(m, arguments[0], at), arguments[2]
    m.log(at, "call", callee.dotted, "allowed")
    return invoke(m, kind, () if state is None else (state,), at, making=True)


def _newobj(m: Machine, callee: Global, arguments: tuple[Value, ...], at: int) -> Value:
    """copyreg.__newobj__(class, …): how protocols 0 and 1 spell NEWOBJ."""
    kind = _inner(m, arguments[0] if arguments else None, at)
    m.log(at, "call", callee.dotted, "allowed")
    return invoke(m, kind, arguments[1:], at, making=True)


def _from_type(m: Machine, callee: Global, arguments: tuple[Value, ...], at: int) -> Value:
    """torch._tensor._rebuild_from_type_v2(function, type, arguments, state): the plain tensor."""
    if len(arguments) not in (3, 4):
        raise Malformed(f"a tensor of its own type is described by {len(arguments)} values")
    function = _inner(m, arguments[0], at)
    m.log(at, "call", callee.dotted, "allowed")
    return invoke(m, function, arguments[2], at)


def _load_from_bytes(m: Machine, callee: Global, arguments: tuple[Value, ...], at: int) -> Value:
    """torch.storage._load_from_bytes(bytes): the value in a torch file inside the pickle."""
    data = arguments[0] if len(arguments) == 1 else None
    if m.nested is None or m.where.count(NESTED) >= DEEPEST:
        raise Foreign
    if not isinstance(data, bytes | bytearray):
        raise Malformed("a torch file inside the pickle is not bytes")
    m.log(at, "call", callee.dotted, "allowed")
    m.spend(at, OPENING + 3 * len(data))
    try:
        return m.nested(bytes(data), m.where)
    except Unsupported as error:
        m.leave_unread(at, error.reason)
    except BadFile as error:
        m.postpone(at, error.reason)
    return Record(callee, arguments)


Rebuilder = Callable[[Machine, Global, tuple[Value, ...], int], Value]

REBUILDERS: dict[str, Rebuilder] = {
    "_reconstructor": _reconstructor,
    "__newobj__": _newobj,
    "_rebuild_from_type_v2": _from_type,
    "_rebuild_from_type": _from_type,
    "_load_from_bytes": _load_from_bytes,
}


# ── BUILD ─────────────────────────────────────────────────────────────────────────────────────────


def set_state(m: Machine, target: Value, state: Value, at: int) -> None:
    """What BUILD does: nothing that another opcode could see, but to our own records."""
    setter = SETTERS.get(type(target))
    if setter is None:
        m.postpone(at, f"sets the state of a {type(target).__name__}")
        return
    try:
        setter(m, target, state, at)
    except Malformed as error:
        m.postpone(at, str(error))
    except Unread as error:
        m.leave_unread(at, str(error))


def _set_record(m: Machine, target: Value, state: Value, at: int) -> None:
    assert isinstance(target, Record)
    m.log(at, "set-state", target.origin.dotted, m.kin(target.origin).risk, (state,))
    target.state = state


def _set_global(m: Machine, target: Value, state: Value, at: int) -> None:
    """The state of a class or module: everybody who uses it would see the change."""
    assert isinstance(target, Global)
    m.log(at, "set-state", target.dotted, "refused", (state,))


def _set_dict(m: Machine, target: Value, state: Value, at: int) -> None:
    """Attributes of an OrderedDict, such as a state dict's `_metadata`: left out."""
    m.log(at, "set-state", "collections.OrderedDict", "allowed")


def _set_parameters(m: Machine, target: Value, state: Value, at: int) -> None:
    assert isinstance(target, Parameters)
    m.log(at, "set-state", "torch.nn.modules.container.ParameterDict", "allowed")
    inner = state.get("_parameters") if isinstance(state, dict) else None
    if not isinstance(inner, dict):
        raise Malformed("a ParameterDict has no parameters")
    m.spend(at, SLOT * len(inner))
    target.update(pairs(inner))


def _set_tensor(m: Machine, target: Value, state: Value, at: int) -> None:
    """Attributes of a tensor: left out."""
    m.log(at, "set-state", "torch.Tensor", "inert", (state,))


def _set_array(m: Machine, target: Value, state: Value, at: int) -> None:
    assert isinstance(target, NumpyArray)
    m.log(at, "set-state", "numpy.ndarray", "allowed")
    numpy_types.set_array(target, state)
    m.spend(at, len(target.data))


def _set_dtype(m: Machine, target: Value, state: Value, at: int) -> None:
    assert isinstance(target, NumpyDType)
    m.log(at, "set-state", "numpy.dtype", "allowed")
    numpy_types.set_dtype(target, state)


def _set_storage(m: Machine, target: Value, state: Value, at: int) -> None:
    m.log(at, "set-state", "torch.storage", "refused", (state,))


Setter = Callable[[Machine, Value, Value, int], None]

SETTERS: dict[type, Setter] = {
    Record: _set_record,
    Global: _set_global,
    dict: _set_dict,
    Parameters: _set_parameters,
    PendingTensor: _set_tensor,
    NumpyArray: _set_array,
    NumpyDType: _set_dtype,
    StorageRef: _set_storage,
}
