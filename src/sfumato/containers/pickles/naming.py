"""The opcodes that name things outside the stream, call them, or set their state."""

from __future__ import annotations

from sfumato.containers.pickles.calls import invoke, set_state
from sfumato.containers.pickles.literals import line
from sfumato.containers.pickles.state import Machine
from sfumato.containers.pickles.values import Global, Record, Value
from sfumato.errors import BadFile

COMPUTED = Global("(computed)", "name")
"""the token for a name that is put together while the pickle runs"""


def _token(m: Machine, module: str, name: str, at: int) -> Global:
    """The token for a name, noted as an import."""
    key = (module, name)
    token = m.globals.get(key)
    if token is None:
        token = m.globals[key] = Global(module, name)
    m.log(at, "import", token.dotted, m.kin(token).risk)
    return token


def _named(m: Machine, at: int) -> tuple[Global | None, int]:
    """The two lines after GLOBAL and INST; no token where they do not end."""
    module, middle = line(m, at, m.limits.name_bytes)
    if middle > m.end:
        return None, middle
    name, stop = line(m, middle, m.limits.name_bytes)
    if stop > m.end:
        return None, stop
    try:
        return _token(m, module.decode("utf-8"), name.decode("utf-8"), at - 1), stop
    except UnicodeDecodeError:
        shown = b".".join((module, name)).decode("utf-8", "backslashreplace")
        m.log(at - 1, "import", shown, "refused")
        raise m.fault(at - 1, "imports a name that is not UTF-8") from None


def global_(m: Machine, at: int) -> int:
    """GLOBAL."""
    token, stop = _named(m, at)
    if token is not None:
        m.stack.append(token)
    return stop


def stack_global(m: Machine, at: int) -> int:
    """STACK_GLOBAL: module and name from the stack, which must be literal text."""
    name = m.stack.pop()
    module = m.stack.pop()
    if isinstance(name, str) and isinstance(module, str):
        if len(name) + len(module) > m.limits.name_bytes:
            raise m.fault(at - 1, f"imports a name of more than {m.limits.name_bytes} characters")
        m.stack.append(_token(m, module, name, at - 1))
        return at
    m.log(at - 1, "import", COMPUTED.dotted, "refused", (module, name))
    if isinstance(name, str | Record) and isinstance(module, str | Record):
        m.stack.append(COMPUTED)
        return at
    kinds = f"{type(module).__name__} and {type(name).__name__}"
    raise m.fault(at - 1, f"imports by {kinds} in place of two texts")


def instance(m: Machine, at: int) -> int:
    """INST: import, and call with everything above the mark."""
    token, stop = _named(m, at)
    if token is not None:
        arguments = m.pop_mark()
        m.stack.append(invoke(m, token, tuple(arguments), at - 1))
    return stop


def object_(m: Machine, at: int) -> int:
    """OBJ: call the first value above the mark with the others."""
    items = m.pop_mark()
    m.stack.append(invoke(m, items[0], tuple(items[1:]), at - 1))
    return at


def reduce(m: Machine, at: int) -> int:
    """REDUCE."""
    stack = m.stack
    arguments = stack.pop()
    stack[-1] = invoke(m, stack[-1], arguments, at - 1)
    return at


def new_object(m: Machine, at: int) -> int:
    """NEWOBJ."""
    stack = m.stack
    arguments = stack.pop()
    stack[-1] = invoke(m, stack[-1], arguments, at - 1, making=True)
    return at


def new_object_ex(m: Machine, at: int) -> int:
    """NEWOBJ_EX: with keyword arguments, which are kept as one more argument."""
    stack = m.stack
    keywords = stack.pop()
    arguments = stack.pop()
    if not isinstance(keywords, dict):
        raise m.fault(at - 1, f"passes a {type(keywords).__name__} as keyword arguments")
    if keywords and isinstance(arguments, tuple):
        arguments = (*arguments, keywords)
    stack[-1] = invoke(m, stack[-1], arguments, at - 1, making=True)
    return at


def build(m: Machine, at: int) -> int:
    """BUILD."""
    state = m.stack.pop()
    set_state(m, m.stack[-1], state, at - 1)
    return at


# ── names in other places ─────────────────────────────────────────────────────────────────────────


def extension1(m: Machine, at: int) -> int:
    """EXT1."""
    return _extension(m, at, 1)


def extension2(m: Machine, at: int) -> int:
    """EXT2."""
    return _extension(m, at, 2)


def extension4(m: Machine, at: int) -> int:
    """EXT4."""
    return _extension(m, at, 4)


def _extension(m: Machine, at: int, size: int) -> int:
    """A name that the program registered under a number (copyreg): who knows what it is."""
    stop = at + size
    if stop <= m.end:
        code = int.from_bytes(m.data[at:stop], "little", signed=size == 4)
        if code <= 0:
            raise m.fault(at - 1, f"names extension {code}")
        m.stack.append(_token(m, "copyreg", f"extension {code}", at - 1))
    return stop


def persistent_id(m: Machine, at: int) -> int:
    """BINPERSID."""
    m.stack[-1] = _persistent(m, m.stack[-1], at - 1)
    return at


def persistent_line(m: Machine, at: int) -> int:
    """PERSID: a line of ASCII."""
    raw, stop = line(m, at, m.limits.name_bytes)
    if stop <= m.end:
        if not raw.isascii():
            raise m.fault(at - 1, "has a persistent id that is not ASCII")
        m.stack.append(_persistent(m, raw.decode("ascii"), at - 1))
    return stop


def _persistent(m: Machine, pid: Value, at: int) -> Value:
    """What the caller's hook makes of a persistent id; ids of storages are not worth an event."""
    sort = pid[0] if isinstance(pid, tuple) and pid else None
    if not isinstance(sort, str | bytes) or sort not in ("storage", b"storage"):
        name = sort if isinstance(sort, str) else f"a {type(pid).__name__}"
        m.log(at, "persistent-id", name, "inert", (pid,))
    if m.persistent is None:
        raise m.fault(at, "refers to something outside the pickle")
    try:
        return m.persistent(pid)
    except BadFile as error:
        m.postpone(at, error.reason)
        return None


def next_buffer(m: Machine, at: int) -> int:
    """NEXT_BUFFER and READONLY_BUFFER: a buffer that a file cannot have."""
    raise m.fault(at - 1, "wants a buffer from outside the pickle")
