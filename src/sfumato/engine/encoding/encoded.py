"""One text as a UNet reads it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """One text, encoded; equal texts of one call share one, so it may stand for them in a cache."""

    context: Tensor
    """(1, 77 n, width): the states of n chunks, one after the other"""
    vector: Tensor | None = None
    """(1, labels): what SDXL adds to the timestep; None for other families"""
