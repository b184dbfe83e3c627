"""The formulas of a merge applied to one tensor at a time, with the numbers of its block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from sfumato.containers.dtype import F32, DType
from sfumato.containers.tensor import Tensor
from sfumato.operations.cast import Losses
from sfumato.operations.merging.blocks import Blocks, Weigh, blocks_of, weighing
from sfumato.operations.merging.chance import seeded
from sfumato.operations.merging.method import MethodOption, Number
from sfumato.operations.merging.sides import Side
from sfumato.operations.merging.tree import Leaf, Mix, Node, OptionValue, elementwise

Resolve = Callable[[str], Number]
"""name of a tensor → what the formula gets"""

WEIGHT = 4
"""bytes of a number that is computed with"""

APART = 1e-6
"""how far from 1 weights may sum up to without a word"""


class Evaluation:
    """A merge's formulas, with every weight looked up by block."""

    def __init__(self, root: Mix, sides: Mapping[str, Side], losses: Losses) -> None:
        """Nothing is read; raises UsageError for weights that fit no block."""
        self.root, self.sides, self.losses = root, sides, losses
        first = next(iter(sides.values()))
        unet = (name for name in first.tensors if first.groups.get(name) == "unet")
        self.blocks = blocks_of(unet)
        self._options: dict[int, dict[str, Resolve]] = {}
        self._resolve(root)

    def _resolve(self, node: Node) -> None:
        if isinstance(node, Leaf):
            return
        self._options[id(node)] = {
            option.name: resolved(option, node.options.get(option.name), self.blocks)
            for option in node.method.options
        }
        for inner in node.inputs:
            self._resolve(inner)

    def tensor(self, name: str, there: Mapping[str, Tensor], dtype: DType) -> Tensor:
        """The merge of the tensors `there`, label → tensor, of one shape."""
        return self._of(self.root, name, there, dtype)

    def _of(self, node: Mix, name: str, there: Mapping[str, Tensor], dtype: DType) -> Tensor:
        # Only here is torch imported: whoever plans a merge has use for it.
        from sfumato.operations.merging.arithmetic import Computed, Input

        inputs = tuple(
            Input(there[inner.label], self.sides[inner.label].title)
            if isinstance(inner, Leaf)
            else Input(self._of(inner, name, there, F32), inner.method.name)
            for inner in node.inputs
        )
        options = {key: of(name) for key, of in self._options[id(node)].items()}
        formula = partial(node.method.function, **options)
        return Computed(name, formula, inputs, elementwise(node), self.losses).tensor(dtype)

    def memory(self, size: int) -> int:
        """Bytes held at most while a tensor of `size` numbers is computed."""
        return 0 if elementwise(self.root) else int(_held(self.root) * size * WEIGHT)

    def doubts(self) -> Iterator[str]:
        """Weights of sums that do not make one model."""
        weights = self._options[id(self.root)].get("weights")
        if self.root.method.name != "sum" or weights is None:
            return
        found = weights("")
        total = sum(found) if not isinstance(found, int | float) else 1.0
        if found and abs(total - 1) > APART:  # pyright: ignore
            yield f"the weights sum to {total:.4g}, not to 1: contrast changes with them"


def _held(node: Node) -> float:
    """Whole tensors held at most: those of all inputs, the result, and working memory."""
    if isinstance(node, Leaf):
        return 1.0
    inner = max((number + _held(child) for number, child in enumerate(node.inputs)), default=0.0)
    return max(inner, len(node.inputs) + 1 + node.method.copies)


def resolved(option: MethodOption, value: OptionValue | None, blocks: Blocks) -> Resolve:
    """What a formula gets for an option, tensor by tensor."""
    given = option.default if value is None else value
    if option.kind.several:
        items = () if isinstance(given, int | float) else tuple(given)
        each: list[Weigh] = [weighing(item, blocks, default=0.0) for item in items]
        return lambda name: tuple(weigh(name) for weigh in each)
    if option.kind.name == "Seed":
        return partial(seeded, int(given))  # pyright: ignore
    if not option.kind.blocks:
        return lambda _: given  # pyright: ignore
    return weighing(given, blocks, default=float(option.default))  # pyright: ignore
