"""What a merge says: files, methods and numbers, one inside another; nothing is opened yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from sfumato.containers.text import escape
from sfumato.errors import UsageError
from sfumato.operations.merging.blocks import Weighting, parsed
from sfumato.operations.merging.method import Kind, Method, MethodOption

OptionValue = Weighting | Sequence[Weighting]
"""what an option is given: weights by block too, and for `weights` one of them for each model"""

Ema = Literal["drop", "use", "merge"]

MERGE = "merge"
"""in place of a model's name: from all of them"""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A model in a file."""

    label: str
    """what it is called here: A, B, or a name from a recipe"""
    path: Path


@dataclass(frozen=True, slots=True)
class Mix:
    """A merge of models, which may be merges themselves."""

    method: Method
    inputs: tuple[Node, ...]
    options: Mapping[str, OptionValue] = field(default_factory=dict[str, OptionValue])
    """those that are given; the others have their defaults"""


Node = Leaf | Mix


@dataclass(frozen=True, slots=True)
class Policy:
    """Which part of the result comes from whom: the label of a model, or MERGE."""

    unet: str = MERGE
    text_encoder: str = MERGE
    vae: str = ""
    """empty: the first model's, unless there is nothing else to merge"""
    ema: Ema = "drop"
    """averaged weights are dropped, used in place of the trained ones, or merged beside them"""

    def given(self) -> dict[str, str]:
        """Those that are not as they are by themselves."""
        usual = Policy()
        named = {"unet": self.unet, "text_encoder": self.text_encoder, "vae": self.vae}
        plain = {"unet": usual.unet, "text_encoder": usual.text_encoder, "vae": usual.vae}
        chosen = {key: value for key, value in named.items() if value != plain[key]}
        return chosen | ({"ema": self.ema} if self.ema != usual.ema else {})


@dataclass(frozen=True, slots=True)
class Merge:
    """A whole merge: the outermost mix, and what comes from whom."""

    root: Mix
    policy: Policy = field(default_factory=Policy)


def leaves(node: Node) -> Iterator[Leaf]:
    """Every file, in order, the same one as often as it stands there."""
    if isinstance(node, Leaf):
        yield node
        return
    for inner in node.inputs:
        yield from leaves(inner)


def named(node: Node) -> dict[str, Leaf]:
    """Label → file, in the order in which they first occur."""
    found: dict[str, Leaf] = {}
    for leaf in leaves(node):
        found.setdefault(leaf.label, leaf)
    return found


def elementwise(node: Node) -> bool:
    """True where each number of the result follows from those in the same place."""
    if isinstance(node, Leaf):
        return True
    return node.method.elementwise and all(map(elementwise, node.inputs))


def mix(method: Method, inputs: Sequence[Node], options: Mapping[str, OptionValue]) -> Mix:
    """A mix whose inputs and options are what the method takes; raises UsageError otherwise."""
    exact = f"{method.least}" if not method.open else f"{method.least} or more"
    fits = len(inputs) >= method.least if method.open else len(inputs) == method.least
    if not fits:
        order = ", ".join(method.inputs)
        raise UsageError(f"{method.name}: takes {exact} models ({order}), and {len(inputs)} given")
    for name in options:
        if method.option(name) is None:
            known = [option.name for option in method.options]
            near = get_close_matches(name, known, 1, 0.3) or known
            raise UsageError(f"{name}: is no option of {method.name}; nearest: {near[0]}")
    checked = {
        option.name: _checked(option, options[option.name], _takers(method, inputs))
        for option in method.options
        if option.name in options
    }
    return Mix(method, tuple(inputs), checked)


def _takers(method: Method, inputs: Sequence[Node]) -> int:
    """How many models a list of weights is for: all that the open input stands for."""
    return len(inputs) - method.least + 1


def _checked(option: MethodOption, value: OptionValue, takers: int) -> OptionValue:
    kind = option.kind
    if kind.several:
        return _several(option, value, takers)
    if isinstance(value, str):
        value = parsed(value)
    if not kind.blocks and not isinstance(value, int | float):
        raise UsageError(f"{option.name}: is one number, the same for all blocks")
    for number in numbers(value):
        _check_number(option.name, kind, number)
    return int(value) if kind.whole and isinstance(value, int | float) else value


def _several(option: MethodOption, value: OptionValue, takers: int) -> OptionValue:
    """One weight, or weights by block, for each model."""
    if isinstance(value, str):
        value = parsed(value)
    items = [value] if isinstance(value, int | float) else value
    if isinstance(items, str | Mapping) or len(items) != takers:
        count = "a mapping" if isinstance(items, str | Mapping) else str(len(items))
        raise UsageError(f"{option.name}: needs one for each of {takers} models, and has {count}")
    return [parsed(item) if isinstance(item, str) else item for item in items]


def numbers(value: OptionValue) -> Iterator[float]:
    """Every number in an option's value; a preset has none of its own."""
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, Mapping):
        yield from map(float, value.values())
    elif not isinstance(value, str):
        for item in value:
            yield from numbers(item)


def _check_number(name: str, kind: Kind, number: float) -> None:
    low, high = kind.low, kind.high
    if number - number != 0 or (kind.whole and number != int(number)):
        raise UsageError(f"{name}: {number} is no {'whole ' if kind.whole else ''}number")
    if (low is not None and number < low) or (high is not None and number > high):
        span = f"from {low:g}" + (f" to {high:g}" if high is not None else "")
        raise UsageError(f"{name}: {number:g} is outside what it may be, {span}")


def check_policy(policy: Policy, labels: Sequence[str]) -> None:
    """Raises UsageError where a part is to come from a model that is none of `labels`."""
    for part, wanted in policy.given().items():
        if part == "ema":
            if wanted not in ("drop", "use", "merge"):
                raise UsageError(f"ema: {escape(wanted)} is none of drop, use and merge")
        elif wanted not in ("", MERGE, *labels):
            raise UsageError(
                f"{part}: {escape(wanted)} is no model of this merge; there are "
                f"{MERGE}, {', '.join(labels)}"
            )


def _shown(value: OptionValue) -> str:
    if isinstance(value, int | float):
        return f"{value:g}"
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ",".join(f"{key}={number:g}" for key, number in value.items())
    return "(" + ", ".join(map(_shown, value)) + ")"


def sentence(node: Node) -> str:
    """A merge in one line: weighted-sum(A, B, alpha 0.3)."""
    if isinstance(node, Leaf):
        return node.label
    given = (f"{name} {_shown(value)}" for name, value in node.options.items())
    return f"{node.method.name}({', '.join([*map(sentence, node.inputs), *given])})"
