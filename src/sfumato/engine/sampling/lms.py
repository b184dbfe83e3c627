"""The linear multistep method: a polynomial through the last slopes, integrated."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from sfumato.engine.sampling.ancestral import slope
from sfumato.engine.sampling.sampler import SamplerSettings
from sfumato.engine.step import Denoiser, Step

ORDER = 4


def lms(denoise: Denoiser, x: Tensor, sigmas: Tensor, settings: SamplerSettings) -> Iterator[Step]:
    """Adams and Bashforth's method for uneven steps in sigma (k-diffusion)."""
    levels = [float(sigma) for sigma in sigmas]
    slopes: deque[Tensor] = deque(maxlen=ORDER)
    for i, sigma in enumerate(sigmas[:-1]):
        denoised = denoise(x, sigma)
        slopes.appendleft(slope(x, sigma, denoised))
        nodes = levels[i::-1][: len(slopes)]
        for weight, d in zip(weights(nodes, levels[i + 1]), slopes, strict=True):
            x = x + weight * d
        yield Step(x, denoised, sigmas[i + 1])


def weights(nodes: Sequence[float], end: float) -> list[float]:
    """Integrals from `nodes[0]` to `end` of the Lagrange polynomials of distinct `nodes`."""
    found: list[float] = []
    for node in nodes:
        # about the first node, so that the powers stay small
        others = [other - nodes[0] for other in nodes if other != node]
        basis = np.poly1d(others, r=True) / np.prod([node - nodes[0] - o for o in others])
        found.append(float(np.polyint(basis)(end - nodes[0])))
    return found
