"""A ComfyUI graph: nodes by number, and walks along their inputs that always end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sfumato.containers.strict_json import Json
from sfumato.engine.pictures.readers.json_text import parse, rows, table, word

NODES = 20_000
"""nodes that are looked at; large graphs have a few hundred"""

STEPS = 200_000
"""inputs that are looked at in all walks over one graph: a hostile one ends there"""


@dataclass(frozen=True, slots=True)
class Node:
    """One node: its class, and its inputs, which are values or links."""

    number: str
    kind: str
    inputs: dict[str, Json]

    def text(self, *names: str) -> str:
        """The first of several inputs that is a value and not empty, as text."""
        return next((found for name in names if (found := word(self.inputs.get(name)))), "")


@dataclass(slots=True)
class Graph:
    """All nodes of a graph."""

    nodes: dict[str, Node]
    left: int = STEPS
    """inputs that may still be looked at"""

    def behind(self, node: Node, *names: str) -> Node | None:
        """The node that one of several inputs is linked to; None where none is."""
        for name in names:
            link = rows(node.inputs.get(name))
            found = self.nodes.get(word(link[0])) if len(link) == 2 else None
            if found is not None:
                return found
        return None

    def back(self, start: Node | None, follows: Callable[[Node, str], bool]) -> Iterator[Node]:
        """`start` and all nodes behind it, the nearest first, along inputs that are followed."""
        waiting = deque([start] if start is not None else [])
        seen = set[str]()
        while waiting and self.left > 0:
            node = waiting.popleft()
            if node.number in seen:
                continue
            seen.add(node.number)
            self.left -= 1 + len(node.inputs)
            yield node
            linked = (self.behind(node, name) for name in node.inputs if follows(node, name))
            waiting.extend(found for found in linked if found is not None)


def read_graph(text: str) -> Graph | None:
    """The graph of a `prompt` text; None where it is none."""
    found: dict[str, Node] = {}
    for number, value in list(table(parse(text)).items())[:NODES]:
        entry = table(value)
        if isinstance(entry.get("class_type"), str):
            found[number] = Node(number, word(entry["class_type"]), table(entry.get("inputs")))
    return Graph(found) if found else None
