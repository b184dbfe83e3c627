"""Merges written down: TOML with models, merges inside merges, and what comes from whom."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from sfumato.containers.source import is_file, is_folder
from sfumato.containers.text import escape
from sfumato.errors import UsageError
from sfumato.operations.merging.registry import find_method
from sfumato.operations.merging.tree import (
    Leaf,
    Merge,
    Mix,
    Node,
    OptionValue,
    Policy,
    check_policy,
    leaves,
    mix,
    named,
)

Find = Callable[[str], Path]
"""what a recipe calls a file → the file"""

POLICY = ("unet", "text_encoder", "vae", "ema")
TOP = ("models", "merge", *POLICY)
"""keys of a recipe"""

RESERVED = ("method", "models", "name")
"""keys of a merge that are no options of its method"""

DEEPEST = 32
"""merges inside merges"""


def read_recipe(path: Path, find: Find = Path) -> Merge:
    """The merge that a recipe file describes.

    Files are looked for beside the recipe, and then by `find`. Raises UsageError with the place and
    the nearest name where the recipe makes no sense.
    """

    def beside(name: str) -> Path:
        near = path.parent / name
        return near if is_file(near) or is_folder(near) else find(name)

    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a recipe: {error}") from error
    return parse_recipe(text, beside, where=str(path))


def parse_recipe(text: str, find: Find, *, where: str = "the recipe") -> Merge:
    """The merge that a recipe's text describes; raises UsageError where it makes no sense."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}: is no TOML: {error}") from error
    try:
        return _Reading(table, find).merge()
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


@dataclass(slots=True)
class _Reading:
    """A recipe that is being read."""

    table: Mapping[str, object]
    find: Find
    models: dict[str, Node] = field(default_factory=dict[str, Node])

    def merge(self) -> Merge:
        """The last merge of the recipe is its result."""
        strange = next((key for key in self.table if key not in TOP), None)
        if strange is not None:
            raise UsageError(f"{escape(strange)}: is no key of a recipe; there are {_list(TOP)}")
        models = _table(self.table.get("models", {}), "models")
        for name, file in models.items():
            self.models[name] = Leaf(name, self.find(_text(file, f"models.{name}")))
        merges = self.table.get("merge", [])
        root: Node | None = None
        for number, entry in enumerate(_list_of_tables(merges)):
            root = self._mix(entry, f"merge {number + 1}", 0)
            if name := entry.get("name"):
                self._name(_text(name, "name"), root)
        if not isinstance(root, Mix):
            raise UsageError("has no [[merge]]")
        policy = Policy(**{k: _text(self.table[k], k) for k in POLICY if k in self.table})  # pyright: ignore
        check_policy(policy, list(named(root)))
        return Merge(root, policy)

    def _name(self, name: str, node: Node) -> None:
        if name in self.models:
            raise UsageError(f"{escape(name)}: there are two models of this name")
        self.models[name] = node

    def _mix(self, entry: Mapping[str, object], where: str, depth: int) -> Mix:
        if depth > DEEPEST:
            raise UsageError(f"{where}: merges are nested more than {DEEPEST} deep")
        method = find_method(_text(entry.get("method", "weighted-sum"), f"{where}, method"))
        inputs = entry.get("models", [])
        if not isinstance(inputs, list):
            raise UsageError(f"{where}: models is no list")
        nodes = [self._node(item, where, depth) for item in cast("list[object]", inputs)]
        options = {key: value for key, value in entry.items() if key not in RESERVED}
        return mix(method, nodes, cast("dict[str, OptionValue]", _checked(options, where)))

    def _node(self, item: object, where: str, depth: int) -> Node:
        if isinstance(item, dict):
            return self._mix(cast("dict[str, object]", item), f"{where}, inner merge", depth + 1)
        name = _text(item, f"{where}, models")
        if name in self.models:
            return self.models[name]
        if not self.models or Path(name).suffix:
            return Leaf(name, self.find(name))
        raise UsageError(f"{where}: {escape(name)} is no model; there are {_list(self.models)}")


def _list(names: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join(map(escape, names))


def _table(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: is no table")
    return cast("dict[str, object]", value)


def _list_of_tables(value: object) -> list[Mapping[str, object]]:
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    return [_table(item, "merge") for item in items]


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where}: is no text")
    return value


def _checked(options: Mapping[str, object], where: str) -> Mapping[str, object]:
    for name, value in options.items():
        if not _is_option(value):
            raise UsageError(f"{where}: {escape(name)} is neither a number, a list nor a table")
    return options


def _is_option(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_option, cast("list[object]", value)))
    if isinstance(value, dict):
        return all(isinstance(v, int | float) for v in cast("dict[str, object]", value).values())
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def to_text(merge: Merge) -> str:
    """A merge as a recipe, which reads back as the same merge; files by their names alone."""
    policy = [f"{key} = {_value(value)}" for key, value in merge.policy.given().items()]
    names = file_names([leaf.path for leaf in leaves(merge.root)])
    files = {leaf.label: names[leaf.path] for leaf in leaves(merge.root)}
    models = ["[models]", *(f"{_key(label)} = {_value(name)}" for label, name in files.items())]
    root = merge.root
    lines = [f"method = {_value(root.method.name)}", f"models = {_nodes(root)}"]
    lines += [f"{name} = {_value(value)}" for name, value in root.options.items()]
    return "\n".join([*policy, *([""] if policy else []), *models, "", "[[merge]]", *lines, ""])


def file_names(paths: Iterable[Path]) -> dict[Path, str]:
    """What a recipe calls files: by name, and a number before those whose name is not the only one.

    Their order counts, and how often one occurs does not.
    """
    once = list(dict.fromkeys(paths))
    counts = Counter(path.name for path in once)
    return {
        path: path.name if counts[path.name] == 1 else f"{number}/{path.name}"
        for number, path in enumerate(once)
    }


def _nodes(node: Mix) -> str:
    return "[" + ", ".join(map(_node, node.inputs)) + "]"


def _node(node: Node) -> str:
    if isinstance(node, Leaf):
        return _value(node.label)
    parts = [f"method = {_value(node.method.name)}", f"models = {_nodes(node)}"]
    parts += [f"{name} = {_value(value)}" for name, value in node.options.items()]
    return "{" + ", ".join(parts) + "}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: OptionValue) -> str:
    """A number, text, list or inline table of TOML; JSON's strings are TOML's too."""
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {v!r}" for k, v in value.items()) + "}"
    return "[" + ", ".join(map(_value, value)) + "]"
