"""The factors of a LoRA beside the weights that they change: how they start and how they act."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from operator import attrgetter
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from sfumato.operations.adapters.deltas.kinds import BY_NAME, change, scale
from sfumato.operations.adapters.deltas.lengths import length
from sfumato.training.kinds.thinning import Thinning
from sfumato.training.precision import in_float32
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

    def __init__(
        self, site: Site, shape: LoraShape, seed: int, thinning: Thinning | None = None
    ) -> None:
        """thinning: what is left out while it learns, which factors of one LoRA share."""
        super().__init__()
        weight = cast(Tensor, attrgetter(site.name)(site.owner)).detach()
        own = weight if site.rows is None else weight[site.rows[0] : site.rows[1]]
        wide = len(site.shape) == 4 and site.shape[-1] > 1
        rank = shape.conv_rank if wide else shape.rank
        self.rows = site.rows
        self.thinning = thinning or Thinning.of(shape)
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
        if self.thinning.skips():
            return weight
        if self.rows is None:
            return weight + self._change(weight)
        first, last = self.rows
        moved = weight[first:last] + self._change(weight[first:last])
        return torch.cat([weight[:first], moved, weight[last:]])

    def _change(self, weight: Tensor) -> Tensor:
        inner = self.inner
        if self.thinning.between:
            inner["down"] = self.thinning.thinned_factor(inner["down"])
        with in_float32(weight.device):  # a change is small beside its weight
            return change(self.kind, inner, weight.float(), scale=self.scale).to(weight.dtype)


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
