"""The noise levels that a model was trained at, and the way between sigmas and timesteps."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

STEPS = 1000
_BETAS = (0.00085, 0.012)
_LAST_ALPHA = 4.8973e-08
"""what the last level gets in place of 0, in A1111's web UI and in ComfyUI"""


@dataclass(frozen=True, slots=True, eq=False)
class Discretisation:
    """A table of noise levels; between its entries log sigma is linear in the timestep.

    All of it is float32 on the CPU: sigmas are single numbers, and no GPU has to be asked for them.
    """

    alphas: Tensor
    """cumulated products ᾱ, (n,), falling"""
    times: Tensor | None = None
    """rising timesteps of the entries (n,); None for 0 … n - 1"""
    quantize: bool = False
    """only the table's own timesteps are given to the network"""
    sigmas: Tensor = field(init=False)
    """√((1 - ᾱ) / ᾱ), (n,), rising"""
    log_sigmas: Tensor = field(init=False)

    def __post_init__(self) -> None:
        # in single precision: these are the digits that k-diffusion has
        sigmas = ((1 - self.alphas) / self.alphas).sqrt()
        object.__setattr__(self, "sigmas", sigmas)
        object.__setattr__(self, "log_sigmas", sigmas.log())

    @property
    def sigma_min(self) -> float:
        """The smallest level."""
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        """The largest level."""
        return float(self.sigmas[-1])

    def sigma_to_t(self, sigma: Tensor) -> Tensor:
        """Timesteps of sigmas of any shape; those outside the table get its ends."""
        log = sigma.log()
        if self.quantize:
            return self._time(self.nearest(log).to(log.dtype))
        low = torch.searchsorted(self.log_sigmas, log, right=True) - 1
        low = low.clamp(0, len(self.sigmas) - 2)
        ends = self.log_sigmas[low], self.log_sigmas[low + 1]
        share = ((ends[0] - log) / (ends[0] - ends[1])).clamp(0, 1)
        return self._time((1 - share) * low + share * (low + 1))

    def nearest(self, log: Tensor) -> Tensor:
        """Entries nearest to logarithms of sigmas."""
        return (log[..., None] - self.log_sigmas).abs().argmin(-1)

    def t_to_sigma(self, t: Tensor) -> Tensor:
        """Sigmas of timesteps of any shape."""
        return _between(self.log_sigmas, self._entry(t)).exp()

    def alpha_at(self, t: Tensor) -> Tensor:
        """ᾱ at timesteps of any shape; its logarithm is linear between entries."""
        return _between(self.alphas.log(), self._entry(t)).exp()

    def _time(self, entry: Tensor) -> Tensor:
        return entry if self.times is None else _between(self.times, entry)

    def _entry(self, t: Tensor) -> Tensor:
        if self.times is not None:
            spacing = self.times[1] - self.times[0]
            t = (t - self.times[0]) / spacing
        return t.float().clamp(0, len(self.sigmas) - 1)


def discretisation(
    *, zero_snr: bool = False, half_alphas: bool = False, quantize: bool = False
) -> Discretisation:
    """The levels of Stable Diffusion: 1000, from sigma 0.0292 to 14.6.

    zero_snr: the last level is noise alone (`zero_terminal_snr`). half_alphas: rounded to half
    precision, as A1111's web UI had them before 1.7.0-225. quantize: `enable_quantization`.
    """
    alphas = training_alphas()
    if half_alphas:
        alphas = alphas.half().float()
    if zero_snr:
        alphas = zero_terminal_snr(alphas)
    return Discretisation(alphas, quantize=quantize)


def training_alphas() -> Tensor:
    """ᾱ of Stable Diffusion, (1000,): the roots of the betas are spaced evenly."""
    roots = torch.linspace(_BETAS[0] ** 0.5, _BETAS[1] ** 0.5, STEPS, dtype=torch.float64)
    return (1 - roots**2).cumprod(0).float()


def zero_terminal_snr(alphas: Tensor) -> Tensor:
    """`alphas` (n,) with their roots shifted and scaled so that the last is 0, then a hair more.

    Algorithm 1 of Lin et al. (2023), https://arxiv.org/abs/2305.08891.
    """
    roots = alphas.sqrt()
    roots = (roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))
    moved = roots**2
    moved[-1] = _LAST_ALPHA
    return moved


def _between(table: Tensor, entry: Tensor) -> Tensor:
    """Values of a table at entries that need not be whole."""
    low, share = entry.floor().long(), entry.frac()
    return (1 - share) * table[low] + share * table[entry.ceil().long()]
