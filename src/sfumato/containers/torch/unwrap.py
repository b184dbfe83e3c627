"""Flat names for the tensors of a nested value, and the dictionary that is the state dict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import Key, Leaf, Tree
from sfumato.containers.tensor import Tensor
from sfumato.containers.text import escape
from sfumato.containers.torch.nested_value import Inert

WRAPPERS = (
    "state_dict",        # Lightning, and most training programs
    "model_state_dict",
    "params_ema",        # BasicSR: the averaged weights before the live ones
    "params-ema",
    "params",
    "model",
    "net",
)  # fmt: skip
"""keys under which programs keep the state dict, in the order in which they are looked for"""

KEPT = ({"string_to_param"}, {"image_proj"}, {"ip_adapter"})
"""dictionaries with one of these keys are a layout of their own and are not unwrapped"""

LONE = "tensor"
"""the name of a tensor that is the whole file"""

MOST_EXTRAS = 100_000


@dataclass(slots=True)
class Flat:
    """A nested value with a name for each tensor and each other leaf."""

    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    extras: dict[str, Leaf] = field(default_factory=dict[str, Leaf])
    wrapper: str = ""
    """dotted path of the dictionary whose names stand bare"""
    notes: list[str] = field(default_factory=list[str])


def flatten(root: Tree, refuse: Callable[[str], Exception], limits: Limits = DEFAULT) -> Flat:
    """Every leaf under its dotted path; those of the state dict without the path to it.

    `refuse` makes the error for a value whose names collide or are too many.
    """
    if isinstance(root, Tensor):
        return Flat({LONE: root})
    path = wrapper_path(root)
    flat = Flat(wrapper=".".join(map(key_text, path)))
    _Walk(flat, refuse, limits).visit(root, "", path)
    return flat


def wrapper_path(root: Tree) -> tuple[Key, ...]:
    """Keys from the whole value to the dictionary that is the state dict; empty for itself."""
    path: list[Key] = []
    node = root
    while isinstance(node, dict):
        key = _wrapper(node)
        if key is None:
            break
        path.append(key)
        node = node[key]
    return tuple(path)


def _wrapper(node: dict[Key, Tree]) -> str | None:
    if any(kept <= node.keys() for kept in KEPT):
        return None
    for name in WRAPPERS:
        if _holds_tensors(node.get(name)):
            return name
    if len(node) == 1:
        ((name, value),) = node.items()
        if isinstance(name, str) and _holds_tensors(value):
            return name
    return None


def _holds_tensors(node: Tree, depth: int = 3) -> bool:
    """True for a dictionary with a tensor in it, not too far below."""
    if not isinstance(node, dict):
        return False
    if any(isinstance(value, Tensor) for value in node.values()):
        return True
    return depth > 0 and any(_holds_tensors(value, depth - 1) for value in node.values())


def key_text(key: Key) -> str:
    """A dictionary key as part of a name."""
    if isinstance(key, bytes):
        return key.decode("utf-8", "backslashreplace")
    return key if isinstance(key, str) else str(key)


@dataclass(slots=True)
class _Walk:
    flat: Flat
    refuse: Callable[[str], Exception]
    limits: Limits
    text: int = 0
    """characters and bytes kept so far"""
    spent: int = 0
    """characters of all names made so far"""

    def visit(self, node: Tree, name: str, path: tuple[Key, ...] = ()) -> None:
        """Name everything at and below `node`; `path` leads on to the state dict."""
        if len(name) > self.limits.name_bytes:
            raise self.refuse(f"has a name of {len(name)} characters: {escape(name)}")
        self.spent += len(name)
        if self.spent > 4 * self.limits.metadata_value:
            raise self.refuse("has names that would fill the memory")
        if isinstance(node, Tensor):
            self._tensor(name, node)
        elif isinstance(node, dict):
            prefix = f"{name}." if name else ""
            for key, child in node.items():
                if path and key == path[0] and type(key) is type(path[0]):
                    self._inside(child, prefix + key_text(key), path[1:])
                else:
                    self.visit(child, prefix + key_text(key))
        elif isinstance(node, list | tuple):
            prefix = f"{name}." if name else ""
            for index, child in enumerate(node):
                self.visit(child, f"{prefix}{index}")
        else:
            self._leaf(name, node)

    def _inside(self, node: Tree, name: str, path: tuple[Key, ...]) -> None:
        """Go on towards the state dict, whose names begin anew."""
        self.visit(node, name if path else "", path)

    def _tensor(self, name: str, tensor: Tensor) -> None:
        tensors = self.flat.tensors
        if name in tensors:
            raise self.refuse(f"two tensors are named {escape(name)}")
        if len(tensors) >= self.limits.tensors:
            raise self.refuse(f"holds more than {self.limits.tensors} tensors")
        tensors[name] = tensor

    def _leaf(self, name: str, leaf: Leaf) -> None:
        extras = self.flat.extras
        size = len(name) + (len(leaf) if isinstance(leaf, str | bytes) else 8)
        if len(extras) >= MOST_EXTRAS or self.text + size > self.limits.metadata_value:
            note = "holds more values beside its tensors than are listed"
            if note not in self.flat.notes:
                self.flat.notes.append(note)
            return
        self.text += size
        extras.setdefault(name, leaf)


def without_inert(root: Tree) -> Tree:
    """The tree that a writer keeps: nothing of objects that are not plain values."""
    return _Pruning().tree(root)


class _Pruning:
    """One walk that leaves the inert out; what is shared stays shared."""

    def __init__(self) -> None:
        self._done: dict[int, Tree] = {}

    def tree(self, node: Tree) -> Tree:
        """The node itself where nothing is left out of it."""
        if isinstance(node, Inert):
            return None
        if not isinstance(node, dict | list | tuple):
            return node
        known = self._done.get(id(node))
        if known is None:
            known = self._done[id(node)] = self._branch(node)
        return known

    def _branch(self, node: dict[Key, Tree] | list[Tree] | tuple[Tree, ...]) -> Tree:
        if isinstance(node, dict):
            plain = ((k, v) for k, v in node.items() if not isinstance(v, Inert))
            return {key: self.tree(value) for key, value in plain}
        trees = [self.tree(item) for item in node]
        return trees if isinstance(node, list) else tuple(trees)


def replaced(tree: Tree, tensors: Mapping[str, Tensor]) -> Tree:
    """The same tree with each tensor exchanged for the one of its name, or left out for want of it.

    For writers that keep a file's structure when its tensors were pruned or cast.
    """
    if isinstance(tree, Tensor):
        return tensors.get(LONE)
    return _replaced(tree, "", wrapper_path(tree), tensors)


def _replaced(node: Tree, name: str, path: tuple[Key, ...], tensors: Mapping[str, Tensor]) -> Tree:
    prefix = f"{name}." if name else ""
    if isinstance(node, dict):
        kept: dict[Key, Tree] = {}
        for key, child in node.items():
            inside = bool(path) and key == path[0] and type(key) is type(path[0])
            onward = path[1:] if inside else ()
            below = "" if inside and not onward else prefix + key_text(key)
            if not isinstance(child, Tensor):
                kept[key] = _replaced(child, below, onward, tensors)
            elif below in tensors:
                kept[key] = tensors[below]
        return kept
    if isinstance(node, list | tuple):
        items = [
            tensors.get(f"{prefix}{index}")
            if isinstance(child, Tensor)
            else _replaced(child, f"{prefix}{index}", (), tensors)
            for index, child in enumerate(node)
        ]
        return items if isinstance(node, list) else tuple(items)
    return node
