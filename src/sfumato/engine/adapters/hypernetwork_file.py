"""A hypernetwork read from its file: for each width a small network for keys and one for values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

from sfumato.catalogue.adapters.extras import beside
from sfumato.containers.arrays import Floats, array
from sfumato.containers.model_file import Leaf, ModelFile
from sfumato.containers.open import open_model
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.containers.text import escape
from sfumato.engine.adapters.embedding import sha256_of
from sfumato.errors import Damaged, Unsupported

_KEY = re.compile(
    r"(?P<width>\d{1,5})[._](?P<half>[01])\.linear(?:\.(?P<index>\d{1,3})|(?P<old>[12]))"
    r"\.(?P<slot>weight|bias)"
)
"""`768.0.linear.2.weight`; `768.0.linear1.weight` and `768_0.…` in the oldest files"""

ACTIVATIONS: tuple[str, ...] = (
    "linear", "relu", "leakyrelu", "elu", "swish", "tanh", "sigmoid", "softsign", "mish",
    "celu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "logsigmoid", "relu6",
    "rrelu", "selu", "silu", "softplus", "softshrink", "tanhshrink",
)  # fmt: skip
"""activations without weights of their own, under A1111's names"""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer with weights, and whether the activation follows."""

    weight: Floats
    """(out, in) of a linear layer, (width,) of a layer norm"""
    bias: Floats
    activated: bool = False

    @property
    def is_norm(self) -> bool:
        """True for a layer norm."""
        return self.weight.ndim == 1


Branch = tuple[Layer, ...]
"""the layers of one small network, in order"""


@dataclass(frozen=True, slots=True, eq=False)
class Hypernetwork:
    """Small networks by the width of the context that they change."""

    name: str
    path: Path
    sha256: str
    activation: str
    """one of ACTIVATIONS"""
    branches: Mapping[int, tuple[Branch, Branch]]
    """width → network for what keys are made of, network for what values are made of"""
    total: int
    """tensors of the file"""
    notes: tuple[str, ...] = ()

    def tensors(self, width: int) -> int:
        """Tensors of the file that belong to a width."""
        return 2 * sum(map(len, self.branches.get(width, ())))


def read_hypernetwork(path: Path) -> Hypernetwork:
    """Read a hypernetwork in any layout, NovelAI's and A1111's oldest (`linear1`) included.

    What a file does not say is as A1111 takes it: no activation, and where there is one it also
    follows the last layer. Raises Unsupported for what is no hypernetwork or has an activation
    that is not known, and Damaged for layers that do not fit each other or hold NaN.
    """
    with open_model(path) as model:
        said = beside(model.metadata, model.extras)
        activation = _activation(said, path)
        piles, strangers = _piles(model)
        if not piles:
            raise Unsupported(path, "is no hypernetwork: no layers named 768.0.linear.0.weight")
        branches = {
            width: (
                _branch(piles, (width, "0"), said, model),
                _branch(piles, (width, "1"), said, model),
            )
            for width in sorted({width for width, _ in piles})
        }
        notes = (f"{strangers} tensors belong to no layer",) if strangers else ()
        return Hypernetwork(
            path.stem, path, sha256_of(path), activation, branches, len(model), notes
        )


Place = tuple[int, str]
"""a width, and which of its two networks"""

Piles = dict[Place, dict[int, dict[str, Tensor]]]
"""place → index of a layer → its weight and bias"""


def _piles(model: Tensors) -> tuple[Piles, int]:
    """The tensors by layer, and how many are of none."""
    piles, strangers = Piles(), 0
    for key, tensor in model.items():
        match = _KEY.fullmatch(key)
        if match is None:
            strangers += 1
            continue
        index = int(match["index"]) if match["old"] is None else int(match["old"]) - 1
        place = (int(match["width"]), match["half"])
        piles.setdefault(place, {}).setdefault(index, {})[match["slot"]] = tensor
    return piles, strangers


def _branch(piles: Piles, place: Place, said: Mapping[str, Leaf], model: ModelFile) -> Branch:
    """The layers of one network; dropout takes a number and does nothing, so numbers may jump."""
    width, half = place
    where = f"{width}.{half}.linear"
    if place not in piles:
        raise Damaged(
            model.path,
            f"has one network of width {width}, expected one for keys and one for values",
        )
    layers = sorted(piles[place].items())
    norms = {i for i, slots in layers if "weight" in slots and len(slots["weight"].shape) == 1}
    linear = [index for index, _ in layers if index not in norms]
    last = linear[-1] if linear else -1
    found = list[Layer]()
    for index, slots in layers:
        activated = index not in norms and _activated(index, last, norms, said)
        found.append(_layer(slots, activated, f"{where}.{index}", model.path))
    _check(found, width, where, model.path)
    return tuple(found)


def _activated(index: int, last: int, norms: set[int], said: Mapping[str, Leaf]) -> bool:
    """Whether the activation follows a linear layer; there may be none to follow.

    It takes a number before the layer norm, which tells where a file does not say.
    """
    if index != last:
        return True
    if "activate_output" not in said and norms:
        return index + 2 in norms
    return bool(said.get("activate_output", True))


def _layer(slots: Mapping[str, Tensor], activated: bool, where: str, path: Path) -> Layer:
    import numpy as np

    if set(slots) != {"weight", "bias"}:
        raise Damaged(path, f"{where} has only {' and '.join(slots)}, expected weight and bias")
    weight, bias = slots["weight"], slots["bias"]
    if len(weight.shape) not in (1, 2) or bias.shape != weight.shape[:1] or not bias.size:
        raise Damaged(
            path, f"{where} has weights {list(weight.shape)} and biases {list(bias.shape)}, "
            "expected those of a linear layer or a layer norm"
        )  # fmt: skip
    numbers = [array(t).astype("<f4") for t in (weight, bias) if t.dtype.kind == "float"]
    if len(numbers) != 2:
        raise Damaged(path, f"{where} is {weight.dtype} and {bias.dtype}, expected floats")
    if not all(np.isfinite(part).all() for part in numbers):
        raise Damaged(path, f"{where} holds NaN or infinite numbers")
    return Layer(numbers[0], numbers[1], activated)


def _check(layers: list[Layer], width: int, where: str, path: Path) -> None:
    """Refuse layers that do not fit each other or the width at both ends."""
    linear = [layer.weight.shape for layer in layers if not layer.is_norm]
    if not linear or layers[0].is_norm:
        raise Damaged(path, f"{where} does not begin with a linear layer")
    ends = (linear[0][1], linear[-1][0])
    if ends != (width, width):
        raise Damaged(path, f"{where} goes from width {ends[0]} to {ends[1]}, expected {width}")
    for before, after in pairwise(layers):
        taken = after.weight.shape[-1]
        if before.weight.shape[0] != taken:
            raise Damaged(
                path, f"a layer of {where} gives {before.weight.shape[0]} numbers where the next "
                f"takes {taken}"
            )  # fmt: skip


def _activation(said: Mapping[str, Leaf], path: Path) -> str:
    name = said.get("activation_func")
    if not isinstance(name, str) or name.lower() in ("", "none"):
        return "linear"
    if name.lower() in ACTIVATIONS:
        return name.lower()
    near = get_close_matches(name.lower(), ACTIVATIONS, n=1)
    hint = f"; the nearest is {near[0]}" if near else ""
    raise Unsupported(path, f"its activation {escape(name, 40)} is not known{hint}")
