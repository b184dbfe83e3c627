"""What is left out of a LoRA's change at random while it learns, as kohya's trainer does it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sfumato.training.settings import LoraShape


@dataclass(slots=True)
class Thinning:
    """Shares that are left out.

    The numbers are drawn from torch's own generator: the loop says where that one stands, by the
    seed, the step and the batch, so that a run goes on exactly, and blocks that are computed twice
    leave out the same.
    """

    values: float
    ranks: float
    modules: float
    on: bool = True
    """False where nothing learns: then all of the change acts"""

    @classmethod
    def of(cls, shape: LoraShape) -> Thinning:
        """As the settings of a LoRA have it."""
        return cls(shape.dropout, shape.rank_dropout, shape.module_dropout)

    @property
    def between(self) -> bool:
        """True where something is left out between the two factors."""
        return self.on and (self.values > 0 or self.ranks > 0)

    def skips(self) -> bool:
        """Drawn anew at each call: True where a whole change is left out."""
        return self.on and self.modules > 0 and torch.rand(()).item() < self.modules

    def thinned(self, narrow: Tensor, axis: int) -> Tensor:
        """What the first factor gives, its ranks on `axis`, with some of it left out.

        The rest is made larger, so that its mean stays. Whole ranks are left out for each picture.
        """
        if self.on and self.values:
            narrow = functional.dropout(narrow, self.values)
        if self.on and self.ranks:
            sizes = [1] * narrow.dim()
            sizes[0], sizes[axis] = narrow.shape[0], narrow.shape[axis]
            stay = torch.rand(sizes, device=narrow.device) > self.ranks
            narrow = narrow * stay / (1 - self.ranks)
        return narrow

    def thinned_factor(self, down: Tensor) -> Tensor:
        """The first factor (rank, …) itself, for weights that are read as such: once a batch."""
        ones = torch.ones(1, len(down), dtype=down.dtype, device=down.device)
        return down * self.thinned(ones, 1).view(-1, *[1] * (down.dim() - 1))
