"""How the learning rate moves over a run: warm-up, a plateau or a curve, and a decay to an end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

from sfumato.errors import UsageError

Curve = Callable[[float], float]
"""share of the run after warm-up, 0 … 1 → factor of the rate"""


@dataclass(frozen=True, slots=True)
class Rate:
    """One course of the learning rate."""

    name: str
    summary: str
    curve: Callable[[float, float], float]
    """(share of the run after warm-up, share of the run that decays) → factor"""


def _constant(_share: float, _decay: float) -> float:
    return 1.0


def _cosine(share: float, _decay: float) -> float:
    return 0.5 * (1 + cos(pi * share))


def _linear(share: float, _decay: float) -> float:
    return 1 - share


def _plateau(share: float, decay: float) -> float:
    return min(1.0, (1 - share) / decay) if decay else 1.0


RATES: tuple[Rate, ...] = (
    Rate("constant", "the same rate to the end", _constant),
    Rate("cosine", "half a cosine, from the rate down to nothing", _cosine),
    Rate("linear", "a straight line, from the rate down to nothing", _linear),
    Rate("plateau", "the rate until the last share of the run, then a line to nothing", _plateau),
)
"""every course; a plateau is the one to choose where a run may be extended later"""


def factor(name: str, step: int, steps: int, *, warmup: int = 0, decay: float = 0.25) -> float:
    """Factor of the rate at `step` (from 0) of a run of `steps`.

    warmup: steps of a straight line up; decay: share of the run at its end that a plateau decays.
    """
    course = next((rate for rate in RATES if rate.name == name), None)
    if course is None:
        known = ", ".join(rate.name for rate in RATES)
        raise UsageError(f"no course of the learning rate is called {name!r}; there are {known}")
    if step < warmup:
        return (step + 1) / (warmup + 1)
    share = (step - warmup) / max(steps - warmup, 1)
    return course.curve(min(share, 1.0), decay)
