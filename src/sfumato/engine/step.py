"""The two functions that all sampling is made of: a denoiser, and a step of a sampler."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

Denoiser = Callable[["Tensor", "Tensor"], "Tensor"]
"""(noisy latent (b, c, h, w), sigma ()) → estimate of the clean latent, of the same shape;
equation 1 of Karras et al. (2022), https://arxiv.org/abs/2206.00364"""


class Predicted(NamedTuple):
    """What a guided noise predictor says at one timestep."""

    eps: Tensor
    """the guided noise (b, c, h, w)"""
    uncond: Tensor
    """the noise predicted without the prompt; `eps` itself where that call was skipped"""


Predictor = Callable[["Tensor", "Tensor"], Predicted]
"""(noisy latent scaled to unit variance, timestep ()) → noise: what DDIM, PLMS and UniPC ask for"""


class Step(NamedTuple):
    """What a sampler yields after each step."""

    x: Tensor
    """the latent at the new noise level, (b, c, h, w)"""
    denoised: Tensor
    """the estimate of the clean latent that the step was made with"""
    sigma: Tensor
    """the new noise level, ()"""
