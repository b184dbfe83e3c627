"""A merge method: one annotated function over torch tensors, from whose signature all else is read.

Importing a method imports no torch: its formula does, when it is used.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Weight = float
"""how much of something; may differ from block to block"""

Share = float
"""a part of a whole, from 0 to 1; may differ from block to block"""

Weights = Sequence[float]
"""one weight for each model in turn; none for equal shares that sum to 1"""

Count = int
"""a whole number from 1"""

Seed = int
"""where random choices begin; the function gets one that depends on the tensor's name too"""

Number = int | float | Sequence[float]
"""what a function gets for an option"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of option, by the word that stands in the annotation."""

    name: str
    blocks: bool
    """True where it may differ from block to block"""
    metavar: str
    low: float | None = None
    high: float | None = None
    whole: bool = False
    several: bool = False
    """True where there is one number for each model"""


KINDS: tuple[Kind, ...] = (
    Kind("Weight", True, "W"),
    Kind("Share", True, "SHARE", 0.0, 1.0),
    Kind("Weights", True, "W,W…", several=True),
    Kind("Count", False, "N", 1, whole=True),
    Kind("Seed", False, "SEED", 0, whole=True),
)
"""every sort of option that a method may have"""


@dataclass(frozen=True, slots=True)
class MethodOption:
    """One option of a method."""

    name: str
    kind: Kind
    default: Number
    text: str
    """what it does, in a few words"""


@dataclass(frozen=True, slots=True)
class Method:
    """A way of making one tensor from several of the same shape."""

    name: str
    """as it is asked for: weighted-sum"""
    function: Callable[..., Tensor]
    inputs: tuple[str, ...]
    """what the models are called, in order; the last stands for all further ones if `open`"""
    open: bool
    """True where there may be any number of models"""
    options: tuple[MethodOption, ...]
    text: str
    """one sentence: the formula, or what it is good for"""
    elementwise: bool
    """True where each number follows from those in the same place, so that pieces will do"""
    copies: float
    """tensors of working memory that the function takes beyond its inputs and its result"""

    @property
    def least(self) -> int:
        """The fewest models it takes; an open one takes one of the last sort at least."""
        return len(self.inputs)

    def option(self, name: str) -> MethodOption | None:
        """The option of that name."""
        return next((option for option in self.options if option.name == name), None)


def method(
    function: Callable[..., Tensor], *, elementwise: bool = False, copies: float = 0.0
) -> Method:
    """Read a method off its function: inputs, options, defaults, and the words for them.

    The first paragraph of the docstring says what it does; a line "alpha: share of B" says what an
    option does. Inputs are the positional parameters, options the keyword-only ones, whose
    annotation is the name of one of KINDS.
    """
    signature = inspect.signature(function)
    text = inspect.getdoc(function) or ""
    kinds = {kind.name: kind for kind in KINDS}
    inputs: list[str] = []
    options: list[MethodOption] = []
    many = False
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            kind = kinds[str(parameter.annotation)]
            options.append(MethodOption(name, kind, parameter.default, _line(text, name)))
        else:
            inputs.append(name)
            many = many or parameter.kind is parameter.VAR_POSITIONAL
    summary = " ".join(text.partition("\n\n")[0].split())
    return Method(
        function.__name__.replace("_", "-"),
        function,
        tuple(inputs),
        many,
        tuple(options),
        summary,
        elementwise,
        copies,
    )


def _line(text: str, name: str) -> str:
    """What the docstring says of an option."""
    found = re.search(rf"^{name}: (.+(?:\n {{4}}.+)*)", text, re.MULTILINE)
    return " ".join(found[1].split()) if found else ""
