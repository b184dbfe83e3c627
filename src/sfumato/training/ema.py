"""The exponential moving average of the weights that are trained."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def decay_at(updates: int, decay: float) -> float:
    """The decay of update number `updates` (the first is 1).

    min(decay, (1 + n) / (10 + n)), as the original trainer warms it up (ldm/modules/ema.py).
    """
    return min(decay, (1 + updates) / (10 + updates))


class Average:
    """A float32 copy of weights, by name, that follows them."""

    def __init__(self, weights: Mapping[str, Tensor], decay: float = 0.999) -> None:
        self.decay = decay
        self.updates = 0
        """how often the copy has moved"""
        self.weights: dict[str, Tensor] = {
            name: weight.detach().to(torch.float32, copy=True) for name, weight in weights.items()
        }

    @torch.no_grad()
    def update(self, weights: Mapping[str, Tensor]) -> None:
        """Move the copy one step towards `weights`."""
        self.updates += 1
        share = 1 - decay_at(self.updates, self.decay)
        for name, average in self.weights.items():
            average.lerp_(weights[name].detach().to(torch.float32), share)
