"""PLMS: DDIM's step with noise extrapolated from earlier ones.

Liu et al. (2022), https://arxiv.org/abs/2202.09778, equation 12.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from torch import Tensor

from sfumato.engine.sampling.ddim import to_level
from sfumato.engine.sampling.discretisation import Discretisation
from sfumato.engine.sampling.sampler import SamplerSettings
from sfumato.engine.step import Predicted, Predictor, Step

WEIGHTS = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""Adams and Bashforth's, by the number of predictions there are, the newest first"""


def plms(
    predict: Predictor,
    x: Tensor,
    timesteps: Tensor,
    table: Discretisation,
    settings: SamplerSettings,
) -> Iterator[Step]:
    """From the last of `timesteps` (n,) to the first: n evaluations, two in the first step."""
    past: deque[Tensor] = deque(maxlen=len(WEIGHTS))
    for index in range(len(timesteps) - 1, 0, -1):
        alphas = table.alphas[timesteps[index]], table.alphas[timesteps[index - 1]]
        past.appendleft(predict(x, timesteps[index]).eps)
        eps = _weighted(past)
        if len(past) == 1:
            guess, _ = to_level(x, Predicted(eps, eps), alphas)
            eps = (eps + predict(guess, timesteps[index - 1]).eps) / 2
        x, denoised = to_level(x, Predicted(eps, eps), alphas)
        yield Step(x, denoised, ((1 - alphas[1]) / alphas[1]).sqrt())


def _weighted(past: Sequence[Tensor]) -> Tensor:
    terms = [weight * eps for weight, eps in zip(WEIGHTS[len(past) - 1], past, strict=True)]
    return sum(terms[1:], start=terms[0])
