"""The check that what should move moves: a run that teaches nothing is stopped early."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import Parameter

from sfumato.errors import Refused
from sfumato.training.settings import Run

STEPS = 10
"""steps after warm-up, after which every weight must have moved"""

OFTEN = 2
"""gradients that move any weight: the first one of a LoRA's inner factor is zero"""


@dataclass(slots=True)
class Motion:
    """How the weights were before the first step, and which of them any gradient reached."""

    since: int = 0
    """the step of the sums"""
    sums: dict[str, float] = field(default_factory=dict[str, float])
    """one number per weight; empty where nothing is to be checked any more"""
    reached: Counter[str] = field(default_factory=Counter[str])
    """how often a gradient reached each weight"""

    def begin(self, run: Run, step: int, weights: Mapping[str, Parameter]) -> None:
        """Remember the weights, unless the run is past the check."""
        self.since = step
        if step < run.optimizer.warmup + STEPS <= run.steps and run.optimizer.rate:
            self.sums = {name: _sum(weight) for name, weight in weights.items()}

    def see(self, weights: Mapping[str, Parameter]) -> None:
        """Note which weights have a gradient."""
        if self.sums:
            self.reached.update(name for name, w in weights.items() if w.grad is not None)

    def wait(self) -> None:
        """Look a step later: nothing was to move in this one."""
        self.since += 1

    def check(self, run: Run, step: int, weights: Mapping[str, Parameter]) -> Iterator[str]:
        """Once, after the first steps: a sentence on weights that no gradient reaches.

        Raises Refused where one that a gradient reaches has not moved.
        """
        if not self.sums or step < max(run.optimizer.warmup, self.since) + STEPS:
            return
        before, self.sums = self.sums, {}
        often = sorted(name for name, times in self.reached.items() if times >= OFTEN)
        still = [name for name in often if _sum(weights[name]) == before[name]]
        if still:
            raise Refused(
                f"{len(still)} of {len(weights)} weights have not moved in {step - self.since} "
                f"steps, {still[0]} for one: the rate {run.optimizer.rate:g} is too small for "
                "their precision"
            )
        idle = sorted(weights.keys() - self.reached)
        if idle:
            yield (
                f"{len(idle)} of {len(weights)} weights take no part and stay as they are, "
                f"{idle[0]} for one"
            )


def _sum(weight: Tensor) -> float:
    """A number that any change of the weight changes; MPS has no float64."""
    dtype = torch.float32 if weight.device.type == "mps" else torch.float64
    return weight.detach().abs().sum(dtype=dtype).item()
