"""How long a step of a run takes, tried out before the run."""

from __future__ import annotations

import time
from statistics import median

import torch

from sfumato.training.settings import Run
from sfumato.training.trainee import Trainee

BESIDE = 1.1
"""a step with its optimizer and averages, as a multiple of its loss and gradients alone"""


def seconds_a_step(run: Run, trainee: Trainee, *, tries: int = 5) -> float:
    """Seconds that one step takes here; nothing is learned from it.

    trainee: prepared, and not trained on afterwards: its gradients are not cleared.
    """
    taken = list[float]()
    for batch in range(tries):
        started = time.perf_counter()
        torch.autograd.backward(trainee.loss(batch))
        taken.append(time.perf_counter() - started)
    # The first step also makes room for the gradients.
    return median(taken[1:] or taken) * run.accumulate * BESIDE
