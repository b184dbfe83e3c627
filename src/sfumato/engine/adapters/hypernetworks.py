"""Hypernetworks at work: attention layers take keys and values from a context that they change.

Facts: AUTOMATIC1111 modules/hypernetworks/hypernetwork.py (v1.10.1).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from sfumato.engine.adapters.hypernetwork_file import Branch
from sfumato.engine.adapters.hypernetwork_file import Hypernetwork as Hypernetwork
from sfumato.engine.adapters.hypernetwork_file import read_hypernetwork as read_hypernetwork
from sfumato.operations.applied import Applied

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.engine.model import Model
    from sfumato.engine.networks.attention import CrossAttention

Function = Callable[["Tensor"], "Tensor"]

ContextChange = Callable[["Tensor", "Tensor"], tuple["Tensor", "Tensor"]]
"""(what keys are made of, what values are made of) → both changed; each (b, n, width)"""


def _rrelu(x: Tensor) -> Tensor:
    """Outside training its random slope is the middle of its range."""
    return functional.leaky_relu(x, (1 / 8 + 1 / 3) / 2)


FUNCTIONS: Mapping[str, Function] = {
    "linear": lambda x: x,
    "relu": functional.relu,
    "leakyrelu": functional.leaky_relu,
    "elu": functional.elu,
    "swish": functional.hardswish,  # A1111's name for it
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softsign": functional.softsign,
    "mish": functional.mish,
    "celu": functional.celu,
    "gelu": functional.gelu,
    "hardshrink": functional.hardshrink,
    "hardsigmoid": functional.hardsigmoid,
    "hardswish": functional.hardswish,
    "hardtanh": functional.hardtanh,
    "logsigmoid": functional.logsigmoid,
    "relu6": functional.relu6,
    "rrelu": _rrelu,
    "selu": functional.selu,
    "silu": functional.silu,
    "softplus": functional.softplus,
    "softshrink": functional.softshrink,
    "tanhshrink": functional.tanhshrink,
}
"""every one of ACTIVATIONS"""


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """A hypernetwork and how strongly it is to act."""

    hypernetwork: Hypernetwork
    multiplier: float = 1.0


@contextmanager
def attach(
    model: Model, uses: Sequence[Use | tuple[Hypernetwork, float]]
) -> Generator[tuple[Applied, ...]]:
    """Let hypernetworks act in every attention layer of their widths, one after the other.

    Gives a report on each. Afterwards the layers are exactly as before, whatever happened
    meanwhile. Keys and values that were computed before (`UNetModel.project`) do not know of the
    change: compute them inside.
    """
    named = [use if isinstance(use, Use) else Use(*use) for use in uses]
    layers = _attentions(model)
    before = [(layer, layer.changes) for layer in layers]
    widths = {_width(layer) for layer in layers}
    try:
        for use in named:
            own = _changes(use, model)
            for layer in layers:
                change = own.get(_width(layer))
                if change is not None:
                    layer.changes = (*layer.changes, change)
        yield tuple(_report(use, widths) for use in named)
    finally:
        for layer, changes in before:
            layer.changes = changes


def _attentions(model: Model) -> list[CrossAttention]:
    from sfumato.engine.networks.attention import CrossAttention

    return [module for module in model.unet.modules() if isinstance(module, CrossAttention)]


def _width(layer: CrossAttention) -> int:
    return layer.to_k.in_features


def _changes(use: Use, model: Model) -> dict[int, ContextChange]:
    """Width → what happens to a context; the weights are where the model's are."""
    device, dtype = model.placement.device, model.placement.dtype
    activation = FUNCTIONS[use.hypernetwork.activation]
    return {
        width: change(
            network(keys, activation, device=device, dtype=dtype),
            network(values, activation, device=device, dtype=dtype),
            use.multiplier,
        )
        for width, (keys, values) in use.hypernetwork.branches.items()
        if use.multiplier
    }


def change(keys: Function, values: Function, multiplier: float) -> ContextChange:
    """What is added to a context: ctx_k + multiplier · keys(ctx_k), and likewise for values."""

    def apply(ctx_k: Tensor, ctx_v: Tensor) -> tuple[Tensor, Tensor]:
        return ctx_k + multiplier * keys(ctx_k), ctx_v + multiplier * values(ctx_v)

    return apply


def network(
    branch: Branch, activation: Function, *, device: torch.device, dtype: torch.dtype
) -> Function:
    """One small network as a function (b, n, width) → (b, n, width)."""

    def placed(layer_part: object) -> Tensor:
        return torch.as_tensor(layer_part).to(device, dtype)

    layers = [
        (placed(layer.weight), placed(layer.bias), layer.activated and not layer.is_norm)
        for layer in branch
    ]

    def apply(x: Tensor) -> Tensor:
        x = x.to(dtype)
        for weight, bias, activated in layers:
            if weight.ndim == 1:
                x = functional.layer_norm(x, weight.shape, weight, bias)
            else:
                x = functional.linear(x, weight, bias)
            if activated:
                x = activation(x)
        return x

    return apply


def _report(use: Use, widths: Iterable[int]) -> Applied:
    own, there = use.hypernetwork, frozenset(widths)
    absent = [width for width in own.branches if width not in there]
    notes = list(own.notes)
    if absent:
        listed = ", ".join(map(str, absent))
        notes.append(f"no attention layer of this model takes a context of width {listed}")
    if not use.multiplier:
        notes.append("its multiplier is 0: it changes nothing")
    used = sum(own.tensors(width) for width in own.branches if width in there)
    return Applied(
        "hypernetwork",
        own.name,
        str(own.path),
        used,
        own.total,
        notes=tuple(notes),
        strength=use.multiplier,
    )
