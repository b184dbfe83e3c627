"""The timesteps that DDIM, PLMS and UniPC visit in AUTOMATIC1111's web UI."""

from __future__ import annotations

import torch
from torch import Tensor

from sfumato.engine.sampling.discretisation import STEPS


def timestep_grid(steps: int) -> Tensor:
    """Rising timesteps 1 … 999, `STEPS // steps` apart: may be more than were asked for."""
    spacing = max(STEPS // steps, 1)
    return (torch.arange(0, STEPS, spacing) + 1).clamp(max=STEPS - 1)
