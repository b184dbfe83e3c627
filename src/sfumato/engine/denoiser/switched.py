"""A refiner: another network that takes over in the middle of a pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from sfumato.engine.denoiser.guided import Guided, Output
from sfumato.engine.sampling.discretisation import STEPS, Discretisation

Reached = Callable[[float, int], bool]
"""(sigma, calls so far) → whether the refiner's turn has come"""


@dataclass(slots=True, eq=False)
class Switched:
    """Asks one network until its turn is over, then the other; the calls are counted on."""

    guided: Guided
    reached: Reached
    refiner: Callable[[], Guided]
    """called once, when its turn comes: loads it and encodes the prompt anew"""
    switched: bool = False

    def __call__(self, x: Tensor, t: Tensor, sigma: float) -> Output:
        """As `Guided` does."""
        if not self.switched and self.reached(sigma, self.guided.calls):
            calls = self.guided.calls
            self.guided = self.refiner()
            self.guided.calls, self.switched = calls, True
        return self.guided(x, t, sigma)


def by_noise(table: Discretisation, share: float) -> Reached:
    """After `share` of the noise: (999 - t) / 1000 ≥ share, t the entry nearest to sigma."""

    def reached(sigma: float, calls: int) -> bool:
        entry = int((table.sigmas - sigma).abs().argmin())
        t = entry if table.times is None else float(table.times[entry])
        return (STEPS - 1 - t) / STEPS >= share

    return reached


def by_calls(total: int, share: float) -> Reached:
    """After `share` of the calls, as before A1111's 1.8."""

    def reached(sigma: float, calls: int) -> bool:
        return calls >= share * total

    return reached
