"""The factors of a LoRA beside the weights that they change: how they start and how they act."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from operator import attrgetter
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import Parameter, functional
from torch.nn.utils import parametrize

from sfumato.operations.adapters.deltas.kinds import BY_NAME, change, scale
from sfumato.operations.adapters.deltas.lengths import length
from sfumato.training.randomness import generator
from sfumato.training.settings import LoraShape


@dataclass(frozen=True, slots=True)
class Site:
    """One weight that gets factors."""

    key: str
    """as files call it: `lora_unet_…`"""
    owner: nn.Module
    name: str
    """of the weight in its layer"""
    rows: tuple[int, int] | None
    """the rows that are changed, where several layers share a weight"""
    shape: tuple[int, ...]
    """of the weight, or of those rows"""
    text: bool
    """True for a text encoder's"""


class Factors(nn.Module):
    """A parametrisation: the weight with its change, by the same function that painting uses."""

    def __init__(self, site: Site, shape: LoraShape, seed: int) -> None:
        super().__init__()
        weight = cast(Tensor, attrgetter(site.name)(site.owner)).detach()
        own = weight if site.rows is None else weight[site.rows[0] : site.rows[1]]
        wide = len(site.shape) == 4 and site.shape[-1] > 1
        rank = shape.conv_rank if wide else shape.rank
        self.rows = site.rows
        self.kind = BY_NAME[shape.algorithm]
        self.alpha = shape.alpha or float(rank)
        started = STARTS[shape.algorithm](_Start(site, shape, rank, seed))
        self.slots = nn.ParameterDict({n: Parameter(v) for n, v in started.items()})
        if shape.dora:
            others = range(1, own.dim())
            self.slots["magnitude"] = Parameter(length(own, tuple(others)).clone())
        self.scale = scale(self.kind, {**self.inner, "alpha": torch.tensor(self.alpha)})
        self.to(weight.device)

    @property
    def inner(self) -> dict[str, Tensor]:
        """The factors by the catalogue's names of their slots."""
        return {name: value for name, value in self.slots.items()}  # noqa: C416

    @property
    def plain(self) -> bool:
        """True where the change is one product that has nothing to do with the weight."""
        return self.kind.name == "lora" and "magnitude" not in self.slots and self.rows is None

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with its change; where rows are shared, only these change."""
        if self.rows is None:
            return weight + self._change(weight)
        first, last = self.rows
        moved = weight[first:last] + self._change(weight[first:last])
        return torch.cat([weight[:first], moved, weight[last:]])

    def _change(self, weight: Tensor) -> Tensor:
        found = change(self.kind, self.inner, weight.float(), scale=self.scale)
        return found.to(weight.dtype)


class Beside:
    """A linear layer's call while it learns: x W + (x down) up, which never makes W + ΔW.

    Neither the changed weight is kept for the way back, nor its gradient computed. Measured on one
    core for a transformer block of rank 8, forwards and back, in milliseconds (frozen, so, with the
    weight made anew): 1006, 1081, 1095 at width 320 and 64² pixels; 320, 367, 436 at 640 and 32²;
    272, 317, 514 at 1280 and 16²; 86, 105, 272 at 8². Where nothing learns, the changed weight is
    used, made once (`parametrize.cached`).
    """

    def __init__(self, layer: nn.Linear, frozen: Tensor, factors: Factors) -> None:
        self.layer = layer
        self.frozen = frozen
        self.factors = factors

    def __call__(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, outputs)."""
        if not torch.is_grad_enabled():
            return functional.linear(x, self.layer.weight, self.layer.bias)
        down, up = (self.factors.slots[name].to(x.dtype) for name in ("down", "up"))
        out = functional.linear(x, self.frozen, self.layer.bias)
        narrow = self.factors.scale * functional.linear(x, down)
        # Into the layer's own output, which nothing else needs: no second one of its width.
        return out.flatten(0, -2).addmm_(narrow.flatten(0, -2), up.mT).view(out.shape)


def attach(site: Site, factors: Factors) -> None:
    """Let `factors` act on their weight from now on."""
    layer = site.owner
    frozen = cast(Tensor, attrgetter(site.name)(layer))
    parametrize.register_parametrization(layer, site.name, factors, unsafe=True)
    if factors.plain and isinstance(layer, nn.Linear):
        layer.forward = Beside(layer, frozen, factors)  # pyright: ignore[reportAttributeAccessIssue]


class _Start:
    """Random numbers for the factors of one site."""

    def __init__(self, site: Site, shape: LoraShape, rank: int, seed: int) -> None:
        self.out, self.into = site.shape[0], torch.Size(site.shape[1:]).numel()
        self.inputs, self.kernel = site.shape[1], site.shape[2:]
        self.rank, self.factor = rank, shape.factor
        self._place, self._seed = site.key.encode(), seed

    def even(self, *size: int) -> Tensor:
        """Uniform by the number of inputs, as torch's layers start (Kaiming with a = √5)."""
        bound = 1 / sqrt(torch.Size(size[1:]).numel())
        return torch.rand(size, generator=self._draw(size)) * 2 * bound - bound

    def normal(self, *size: int, deviation: float) -> Tensor:
        """Normal numbers around 0."""
        return torch.randn(size, generator=self._draw(size)) * deviation

    def _draw(self, size: tuple[int, ...]) -> torch.Generator:
        return generator(self._seed, "start", *self._place, len(size), *size)


def _lora(start: _Start) -> dict[str, Tensor]:
    narrow = (1,) * len(start.kernel)
    return {
        "down": start.even(start.rank, start.inputs, *start.kernel),
        "up": torch.zeros(start.out, start.rank, *narrow),
    }


def _loha(start: _Start) -> dict[str, Tensor]:
    """As LyCORIS starts it (lycoris/modules/loha.py)."""
    return {
        "w1_a": start.normal(start.out, start.rank, deviation=0.1),
        "w1_b": start.normal(start.rank, start.into, deviation=1.0),
        "w2_a": torch.zeros(start.out, start.rank),
        "w2_b": start.normal(start.rank, start.into, deviation=0.99),
    }


def _lokr(start: _Start) -> dict[str, Tensor]:
    """A small whole factor, and a large one that is a product where that is smaller."""
    rows, columns = _divisor(start.out, start.factor), _divisor(start.inputs, start.factor)
    outer, inner = start.out // rows, start.inputs // columns
    values = {"w1": start.even(rows, columns)}
    wide = inner * torch.Size(start.kernel).numel()
    if start.rank < min(outer, wide) / 2:
        return values | {
            "w2_a": torch.zeros(outer, start.rank),
            "w2_b": start.even(start.rank, wide),
        }
    return values | {"w2": torch.zeros(outer, inner, *start.kernel)}


def _divisor(size: int, most: int) -> int:
    """The largest divisor of `size` that is at most `most`."""
    return next(d for d in range(max(1, min(most, size)), 0, -1) if size % d == 0)


STARTS: dict[str, Callable[[_Start], dict[str, Tensor]]] = {
    "lora": _lora,
    "loha": _loha,
    "lokr": _lokr,
}
"""algorithm → its first factors, whose product is zero, so that the first change is none"""
