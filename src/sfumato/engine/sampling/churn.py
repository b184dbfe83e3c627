"""Noise that is added before a step, so that old errors are forgotten."""

from __future__ import annotations

import math

from torch import Tensor

from sfumato.engine.sampling.sampler import SamplerSettings


def churned(
    x: Tensor, sigma: Tensor, steps: int, settings: SamplerSettings
) -> tuple[Tensor, Tensor]:
    """x raised to a higher level, and that level; lines 4-6 of algorithm 2, Karras et al. (2022).

    Noise is drawn at every step once there is churn at all, used or not, as k-diffusion draws it.
    """
    tuning = settings.tuning
    if not tuning.churn:
        return x, sigma
    noise = settings.noise()
    top = math.inf if tuning.churn_max is None else tuning.churn_max
    if not tuning.churn_min <= float(sigma) <= top:
        return x, sigma
    higher = sigma * (1 + min(tuning.churn / steps, math.sqrt(2) - 1))
    return x + noise * (tuning.noise * (higher**2 - sigma**2).sqrt()), higher
