"""A guided network as a denoiser, which samplers in sigma ask, or as a predictor of noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from sfumato.engine.denoiser.guided import Output
from sfumato.engine.sampling.discretisation import Discretisation
from sfumato.engine.step import Denoiser, Predicted, Predictor

Prediction = Literal["epsilon", "v"]

Asked = Callable[[Tensor, Tensor, float], Output]
"""a `Guided` or a `Switched`"""


def denoiser(guided: Asked, table: Discretisation, prediction: Prediction) -> Denoiser:
    """(x, sigma) → clean estimate: x is scaled to unit variance, sigma becomes a timestep.

    epsilon: D = x - σ ε; v: D = (x - σ √(σ² + 1) v) / (σ² + 1), from appendix D of Salimans and Ho
    (2022), https://arxiv.org/abs/2202.00512.
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        variance = sigma**2 + 1
        output = guided(x / variance.sqrt(), table.sigma_to_t(sigma), float(sigma)).guided
        if prediction == "v":
            return x / variance - sigma / variance.sqrt() * output
        return x - sigma * output

    return denoise


def predictor(guided: Asked, table: Discretisation, prediction: Prediction) -> Predictor:
    """(x of unit variance, timestep) → noise; ε = √ᾱ v + √(1 - ᾱ) x for a network that says v."""

    def predict(x: Tensor, t: Tensor) -> Predicted:
        a = table.alpha_at(t)
        output = guided(x, t, float(((1 - a) / a).sqrt()))
        if prediction == "epsilon":
            return Predicted(output.guided, output.uncond)
        eps, uncond = (a.sqrt() * v + (1 - a).sqrt() * x for v in output)
        return Predicted(eps, uncond)

    return predict
