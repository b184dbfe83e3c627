"""The TOML form of a training run: read with every fault named, written so that it reads back."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, Union, cast, get_args, get_origin, get_type_hints

from sfumato.containers.text import escape
from sfumato.errors import UsageError
from sfumato.training.bounds import check_bounds
from sfumato.training.settings import Run

DOTTED = re.compile(r"[a-z_]+(\.[a-z_]+)?")
"""how a setting is called from outside the file: `steps`, `data.flip`"""

Value = str | int | float | bool | list["Value"] | dict[str, "Value"]
"""what TOML holds, as far as a run uses it"""


def read_run(path: Path) -> Run:
    """The run that a TOML file describes.

    Raises UsageError with the table, the key and what was expected.
    """
    try:
        return parse_run(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def parse_run(text: str, where: str = "the configuration") -> Run:
    """The run that TOML text describes."""
    return _run(_loads(text, where), where)


def _run(table: Mapping[str, Value], where: str) -> Run:
    run = cast(Run, _record(Run, table, where, ""))
    check_bounds(run, where)
    return run


def with_settings(run: Run, settings: Mapping[str, str]) -> Run:
    """`run` with dotted settings replaced: `{"optimizer.rate": "1e-4"}`, in TOML's spelling.

    A value that is no TOML is text. Raises UsageError as reading a file does.
    """
    return changed(write_run(run), settings)


def changed(text: str, settings: Mapping[str, str], where: str = "the command line") -> Run:
    """The run that TOML text describes once settings are replaced, which may complete it."""
    table = _loads(text, where)
    for key, value in settings.items():
        if not DOTTED.fullmatch(key):
            raise UsageError(
                f"{where}: {escape(key)} is no setting; they are called like data.flip"
            )
        _merge(table, _loads(f"{key} = {_guess(value)}", where))
    return _run(table, where)


def _loads(text: str, where: str) -> dict[str, Value]:
    try:
        return cast("dict[str, Value]", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is not TOML: {escape(str(error))}") from error


def _guess(text: str) -> str:
    try:
        one = list(tomllib.loads(f"x = {text}")) == ["x"]
    except tomllib.TOMLDecodeError:
        one = False
    return text if one else said(text)


def _merge(table: dict[str, Value], changes: Mapping[str, Value]) -> None:
    for key, value in changes.items():
        inner = table.get(key)
        if isinstance(value, dict) and isinstance(inner, dict):
            _merge(inner, value)
        else:
            table[key] = value


@lru_cache(maxsize=32)
def _types(record: type) -> dict[str, object]:
    return get_type_hints(record)


def _record(record: type, table: Mapping[str, Value], where: str, path: str) -> object:
    known = _types(record)
    for key in table:
        if key not in known:
            near = get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
            raise UsageError(f"{where}: {path}{escape(key)} is no setting of a run{hint}")
    values = {k: _value(known[k], v, where, path + k) for k, v in table.items()}
    try:
        return record(**values)
    except TypeError as error:
        missing = [name for name in ("kind", "output") if name not in values]
        raise UsageError(f"{where}: {' and '.join(missing)} must be given") from error


def _value(kind: object, value: Value, where: str, path: str) -> object:
    inner = [x for x in get_args(kind) if x is not NoneType] if _is_union(kind) else [kind]
    kind = inner[0]
    if isinstance(kind, type) and is_dataclass(kind):
        if not isinstance(value, dict):
            raise UsageError(f"{where}: {path} is a table, written [{path}]")
        return _record(kind, value, where, f"{path}.")
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            choices = ", ".join(repr(choice) for choice in get_args(kind))
            raise UsageError(f"{where}: {path} is one of {choices}, not {_shown(value)}")
        return value
    if get_origin(kind) is tuple:
        return _several(get_args(kind), value, where, path)
    return _plain(cast(type, kind), value, where, path)


def _several(kinds: tuple[object, ...], value: Value, where: str, path: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise UsageError(f"{where}: {path} is a list, not {_shown(value)}")
    if kinds[-1] is not Ellipsis and len(value) != len(kinds):
        raise UsageError(f"{where}: {path} is a list of {len(kinds)}, not of {len(value)}")
    return tuple(_value(kinds[0], each, where, path) for each in value)


def _is_union(kind: object) -> bool:
    return get_origin(kind) in (Union, UnionType)


TITLES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _plain(kind: type, value: Value, where: str, path: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise UsageError(f"{where}: {path} is {TITLES[kind]}, not {_shown(value)}")
    return value


def _shown(value: Value) -> str:
    return escape(repr(value), 60)


def settings_of(run: Run) -> dict[str, str]:
    """Every setting by its dotted name, as TOML spells its value."""
    told: dict[str, str] = {}
    for name, value in cast("dict[str, object]", asdict(run)).items():
        if isinstance(value, dict):
            inner = cast("dict[str, object]", value)
            told |= {f"{name}.{key}": said(each) for key, each in inner.items()}
        elif value is not None:
            told[name] = said(value)
    return told


def write_run(run: Run) -> str:
    """The run as TOML: every setting that is not the default, tables in the order of `Run`."""
    plain = asdict(Run(run.kind, run.output, scratch=run.scratch and type(run.scratch)()))
    lines: list[str] = []
    tables: list[str] = []
    for name, value in cast("dict[str, object]", asdict(run)).items():
        usual = cast(object, plain[name])
        if isinstance(value, dict):
            told = _differences(cast("dict[str, object]", value), cast("dict[str, object]", usual))
            tables += ["", f"[{name}]", *told] if told or name == "scratch" else []
        elif value is not None and (name in ("kind", "output") or value != usual):
            lines.append(f"{name} = {said(value)}")
    return "\n".join([*lines, *tables, ""])


def _differences(table: Mapping[str, object], usual: Mapping[str, object]) -> list[str]:
    return [f"{key} = {said(value)}" for key, value in table.items() if value != usual[key]]


def said(value: object) -> str:
    """A value in TOML's spelling."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, tuple):
        return f"[{', '.join(said(each) for each in cast('tuple[object, ...]', value))}]"
    return repr(value)


def _quoted(text: str) -> str:
    """A basic TOML string: quotes, backslashes and control characters escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return (
        '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
    )
