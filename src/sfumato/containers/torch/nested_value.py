"""The plain tree behind a pickled value: dictionaries, lists and tuples with tensors as leaves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sfumato.containers.model_file import Key, Leaf, Tree
from sfumato.containers.pickles.values import (
    Global,
    NumpyArray,
    NumpyDType,
    PendingTensor,
    Record,
    Value,
)
from sfumato.containers.text import escape
from sfumato.containers.torch.storage import Storages

MODULE_PARTS = ("_parameters", "_buffers", "_modules")
"""where a pickled torch module keeps its tensors; a state dict does not mention these words"""


class Inert(dict[Key, Tree]):
    """What an object that is not emulated carries: listed like a dictionary, and never written."""


@dataclass(slots=True, eq=False)
class Planter:
    """Turns the values of one file into trees; a value that occurs twice becomes one node.

    `sizes` counts the nodes below each value as if nothing were shared, so that a small value that
    unfolds into billions is refused before it is unfolded.
    """

    storages: Storages
    nodes: dict[int, Tree] = field(default_factory=dict[int, Tree])
    sizes: dict[int, int] = field(default_factory=dict[int, int])
    open: set[int] = field(default_factory=set[int])
    """values whose children are being looked at; nothing is new behind one that is met again"""

    def plant(self, value: Value) -> tuple[Tree, int]:
        """The node of a value, and how many nodes it unfolds to."""
        if value is None or isinstance(value, str | int | float | bytes):
            return value, 1
        if isinstance(value, PendingTensor):
            return self.storages.tensor(value), 1
        if isinstance(value, dict | list | tuple | Record | NumpyArray):
            return self._once(value)
        if isinstance(value, set | frozenset):
            return sorted(value, key=str), 1 + len(value)
        return _leaf(value), 1

    def _once(self, value: Value) -> tuple[Tree, int]:
        identity = id(value)
        if identity in self.sizes:
            return self.nodes[identity], self.sizes[identity]
        limits = self.storages.limits
        if identity in self.open:
            # Only objects get here (`nesting_fault`): omegaconf's nodes know their parents, and
            # what the parent holds is being listed already.
            return None, 1
        if len(self.open) > limits.nesting:
            raise self.storages.damaged(f"nests values more than {limits.nesting} deep")
        self.open.add(identity)
        node, size = self._branch(value)
        self.open.discard(identity)
        if size > limits.nodes:
            raise self.storages.damaged(
                f"unfolds into more than {limits.nodes} values, most of them repetitions"
            )
        self.nodes[identity], self.sizes[identity] = node, size
        return node, size

    def _branch(self, value: Value) -> tuple[Tree, int]:
        if isinstance(value, NumpyArray):
            return self._array(value), 1
        if isinstance(value, Record):
            children, size = self._children(_contents(value))
            return Inert(children), size
        if isinstance(value, dict):
            return self._children(value.items())
        assert isinstance(value, list | tuple)
        planted = [self.plant(item) for item in value]
        nodes = [node for node, _ in planted]
        size = 1 + sum(count for _, count in planted)
        return (nodes if isinstance(value, list) else tuple(nodes)), size

    def _children(self, items: Iterable[tuple[Key, Value]]) -> tuple[dict[Key, Tree], int]:
        children: dict[Key, Tree] = {}
        size = 1
        for key, value in items:
            children[key], count = self.plant(value)
            size += count
        return children, size

    def _array(self, array: NumpyArray) -> Tree:
        if array.dtype is not None:
            return self.storages.array(array, array.dtype)
        self.storages.note(f"numpy arrays of type {escape(array.text, 40)} are left out")
        return None


def _leaf(value: Value) -> Leaf:
    """A value that is neither a container nor a tensor, as it is listed."""
    if isinstance(value, Global):
        return value.dotted
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, NumpyDType):
        return value.text
    return str(value) if isinstance(value, complex) else None


def _contents(record: Record) -> Iterable[tuple[Key, Value]]:
    """What an object carries, by name: its state, what was put into it, what it was made from."""
    state = record.state
    if isinstance(state, dict):
        if all(isinstance(state.get(part), dict) for part in MODULE_PARTS):
            for part in MODULE_PARTS:
                inner = state[part]
                assert isinstance(inner, dict)
                yield from ((key, value) for key, value in inner.items() if value is not None)
        else:
            yield from state.items()
    elif state is not None:
        yield "state", state
    for index, item in enumerate(record.items):
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str | int):
            yield item[0], item[1]
        else:
            yield index, item
    if state is None and not record.items:
        yield from enumerate(record.arguments)
