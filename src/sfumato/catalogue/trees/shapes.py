"""Trees of shapes: nested dictionaries whose leaves are what a layer's tensors measure."""

from __future__ import annotations

from collections.abc import Mapping

Shape = tuple[int, ...]

Shapes = Mapping[str, Shape]
"""a flat tree: whole key → shape"""

Tree = Mapping[str, "Tree | Shape"]
"""module name → what stands below it"""


def linear(inputs: int, outputs: int, bias: bool = True) -> Tree:
    """A fully connected layer."""
    weight: dict[str, Tree | Shape] = {"weight": (outputs, inputs)}
    return {**weight, "bias": (outputs,)} if bias else weight


def conv(inputs: int, outputs: int, kernel: int = 3, bias: bool = True) -> Tree:
    """A square two-dimensional convolution."""
    weight: dict[str, Tree | Shape] = {"weight": (outputs, inputs, kernel, kernel)}
    return {**weight, "bias": (outputs,)} if bias else weight


def norm(width: int, bias: bool = True) -> Tree:
    """A group or layer norm with its gain."""
    weight: dict[str, Tree | Shape] = {"weight": (width,)}
    return {**weight, "bias": (width,)} if bias else weight


def sequence(*nodes: Tree | None) -> Tree:
    """Children named by their position; None stands for a layer without weights."""
    return {str(index): node for index, node in enumerate(nodes) if node is not None}


def flatten(tree: Tree) -> dict[str, Shape]:
    """Every leaf of `tree` under its whole, dotted key."""
    flat: dict[str, Shape] = {}
    _fill(flat, tree, "")
    return flat


def _fill(flat: dict[str, Shape], tree: Tree, prefix: str) -> None:
    for name, node in tree.items():
        if isinstance(node, tuple):
            flat[prefix + name] = node
        else:
            _fill(flat, node, f"{prefix}{name}.")


def parameters(shapes: Shapes) -> int:
    """Numbers in all tensors of a flat tree together."""
    total = 0
    for shape in shapes.values():
        count = 1
        for size in shape:
            count *= size
        total += count
    return total
