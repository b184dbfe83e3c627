"""The tables of the noise schedule that the original trainer keeps in its checkpoints."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 1000
BETAS = (0.00085, 0.012)
"""first and last β; their roots are spaced evenly ("scaled linear")"""


def schedule_tables() -> dict[str, Tensor]:
    """Every table (1000,) of `register_schedule` of ldm/models/diffusion/ddpm.py, float32.

    Computed in double precision, as there; eq. 6 and 7 of Ho et al. (2020), arXiv 2006.11239, for
    the posterior.
    """
    roots = torch.linspace(BETAS[0] ** 0.5, BETAS[1] ** 0.5, STEPS, dtype=torch.float64)
    betas = roots**2
    product = (1 - betas).cumprod(0)
    before = torch.cat([product.new_ones(1), product[:-1]])
    variance = betas * (1 - before) / (1 - product)
    tables = {
        "betas": betas,
        "alphas_cumprod": product,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": product.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - product).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - product).log(),
        "sqrt_recip_alphas_cumprod": (1 / product).sqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / product - 1).sqrt(),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
        "posterior_mean_coef1": betas * before.sqrt() / (1 - product),
        "posterior_mean_coef2": (1 - before) * (1 - betas).sqrt() / (1 - product),
    }
    return {name: table.float() for name, table in tables.items()}
