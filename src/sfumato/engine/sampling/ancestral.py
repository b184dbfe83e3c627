"""A step down in noise as a longer step down and fresh noise back up."""

from __future__ import annotations

import torch
from torch import Tensor


def ancestral(sigma: Tensor, sigma_next: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """The level to go down to, and the deviation of the noise to add there; both ().

    eta: 0 adds none; 1 as much as equation 16 of Song et al. (2020) does,
    https://arxiv.org/abs/2010.02502.
    """
    if not eta:
        return sigma_next, torch.zeros_like(sigma_next)
    variance = sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2
    up = torch.minimum(sigma_next, eta * variance.sqrt())
    return (sigma_next**2 - up**2).sqrt(), up


def slope(x: Tensor, sigma: Tensor, denoised: Tensor) -> Tensor:
    """dx/dsigma, (b, c, h, w): equations 1 and 3 of Karras et al. (2022)."""
    return (x - denoised) / sigma
