"""What several LoRAs change in one place: the sum, kept as a product where all terms are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sfumato.operations.lora.crew import seed_for
from sfumato.operations.lora.factor import Factors, difference, factorise, of_product, squared
from sfumato.operations.lora.layers import Layer


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """What several LoRAs change in one place."""

    terms: tuple[tuple[Layer, float], ...]
    """the layers and what each is multiplied by"""

    @property
    def first(self) -> Layer:
        """One of them, for what is the same in all."""
        return self.terms[0][0]

    @property
    def is_plain(self) -> bool:
        """True where all are products, whose ranks can be put side by side."""
        return all(layer.is_plain for layer, _ in self.terms)

    @property
    def rank(self) -> int:
        """All ranks together."""
        return sum(layer.part.tensors["down"].shape[0] for layer, _ in self.terms)

    def stacked(self) -> tuple[Tensor, Tensor]:
        """up (m, r₁ + r₂ …) with all scales and weights in it, down likewise."""
        pairs = [(layer.pair(), weight) for layer, weight in self.terms]
        ups = torch.cat([up * weight for (up, _), weight in pairs], dim=1)
        return ups, torch.cat([down for (_, down), _ in pairs])

    def change(self) -> Tensor:
        """The sum itself, in the weight's shape."""
        total = torch.zeros(self.first.shape)
        for layer, weight in self.terms:
            total.add_(layer.change(), alpha=weight)
        return total

    def factors(self, rank: int, *, exact: bool, seed: int) -> Factors:
        """The sum as a product: exact where all terms are products already."""
        if self.is_plain:
            return of_product(*self.stacked())
        own = seed_for(seed, self.first.name)
        return factorise(self.change().flatten(1), rank, exact=exact, seed=own)

    def distance(self, other: Layer) -> tuple[float, float]:
        """‖sum − the other's change‖² and ‖sum‖²."""
        if self.is_plain and other.is_plain:
            return difference(self.stacked(), other.pair())
        whole = self.change()
        return squared(whole - other.change()), squared(whole)
