"""What a sampler is: a name, how it is counted and started, and a generator of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from sfumato.engine.request import Tuning

if TYPE_CHECKING:
    from sfumato.engine.sampling.discretisation import Discretisation
    from sfumato.engine.step import Denoiser, Predictor, Step

Brownian = Callable[[Tensor, Tensor], Tensor]
"""(sigma, next sigma) → unit noise (b, c, h, w)"""


@dataclass(frozen=True, slots=True)
class SamplerSettings:
    """What a sampler is given beside the denoiser, the latent and the noise levels."""

    noise: Callable[[], Tensor]
    """the next noise of every picture, (b, c, h, w)"""
    brownian: Brownian | None = None
    """for samplers that are marked so"""
    tuning: Tuning = Tuning()  # noqa: RUF009 - frozen
    table: Discretisation | None = None
    """levels of the model: LCM asks for timesteps, DPM fast and adaptive go down to the smallest"""
    resumed: bool = False
    """the latent is a picture with noise, and not noise alone"""

    def eta(self, default: float) -> float:
        """The share of ancestral noise that was asked for, else the sampler's own."""
        return default if self.tuning.eta is None else self.tuning.eta


SigmaRun = Callable[["Denoiser", Tensor, Tensor, SamplerSettings], "Iterator[Step]"]
"""(denoiser, x (b, c, h, w), falling sigmas (n + 1,), settings) → steps"""
TimestepRun = Callable[
    ["Predictor", Tensor, Tensor, "Discretisation", SamplerSettings], "Iterator[Step]"
]
"""(predictor, x (b, c, h, w), rising timesteps (n,), levels, settings) → steps"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """A sampler under its name in AUTOMATIC1111's web UI."""

    name: str
    aliases: tuple[str, ...] = ()
    schedule: str = ""
    """what "Automatic" means; empty for even timesteps, which pictures do not name"""
    order2: bool = False
    """the network is called twice in a step, and prompt schedules count calls"""
    discard: bool = False
    """one more level is made, and the last but one left out"""
    ensd: bool = False
    """its noise honours the noise seed delta"""
    brownian: bool = False
    churn: bool = False
    """honours `Tuning.churn` and its bounds"""
    ancestral: float | None = None
    """its own eta; None where it adds no noise"""
    fresh: bool = False
    """draws noise whatever is asked for"""
    full: bool = False
    """of timesteps all are steps, and not all but the first"""
    alone: bool = False
    """looks at the picture to choose its steps: pictures of a batch must be sampled one by one"""
    free: bool = False
    """goes its own way from the first level to the last"""
    cfg_factor: float = 1.0
    """what the CFG scale is multiplied with"""
    levels: Callable[[Discretisation], Discretisation] | None = None
    """the sampler's own table of levels, made from the model's"""
    sigma: SigmaRun | None = None
    timestep: TimestepRun | None = None

    @property
    def kind(self) -> Literal["sigma", "timestep"]:
        """Whether it asks a `Denoiser` for clean latents, or a `Predictor` for noise."""
        return "timestep" if self.sigma is None else "sigma"

    @property
    def run(self) -> SigmaRun | TimestepRun:
        """The generator of steps."""
        found = self.sigma or self.timestep
        assert found is not None
        return found

    def draws(self, tuning: Tuning) -> bool:
        """Whether it may draw noise whose seed ENSD moves; that of Brownian paths is another."""
        eta = self.ancestral if tuning.eta is None else tuning.eta
        added = self.ancestral is not None and not self.brownian and eta != 0
        return added or self.fresh or (self.churn and tuning.churn > 0)

    def calls(self, steps: int) -> int:
        """Calls of the network that prompt schedules are made for."""
        return 2 * steps if self.order2 else steps
