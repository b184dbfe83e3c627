"""The bounds of every number in a request: beyond them no picture can be meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from sfumato.engine.pictures.settings import has_part
from sfumato.engine.request import UNIPC_ORDERS
from sfumato.errors import UsageError

if TYPE_CHECKING:
    from sfumato.engine.request import Request

HUGE = 1e6
"""more than any factor or level of noise that paints anything"""

SEEDS = (-(2**63), 2**64 - 1)
LARGEST = 16384
"""pixels along one side"""


@dataclass(frozen=True, slots=True)
class Bound:
    """The numbers that one field takes; None is left to the field's type."""

    path: str
    """the field of a request: "steps", "guidance.scale" """
    title: str
    low: float
    high: float


BOUNDS: tuple[Bound, ...] = (
    Bound("steps", "steps", 1, 10_000),
    Bound("batch", "batch", 1, 10_000),
    Bound("count", "count", 1, 10_000),
    Bound("width", "width", 0, LARGEST),
    Bound("height", "height", 0, LARGEST),
    Bound("seed", "the seed", *SEEDS),
    Bound("clip_skip", "clip skip", 1, 64),
    Bound("ensd", "ENSD", *SEEDS),
    Bound("comma_backtrack", "comma_backtrack", 0, 75),
    Bound("sdxl_crop", "SDXL's crop", -LARGEST, LARGEST),
    Bound("refiner_switch", "the refiner's switch", 0, 1),
    Bound("guidance.scale", "the CFG scale", -HUGE, HUGE),
    Bound("guidance.image_scale", "the image CFG scale", -HUGE, HUGE),
    Bound("guidance.rescale", "CFG rescale", 0, 1),
    Bound("guidance.skip_below", "guidance.skip_below", 0, HUGE),
    Bound("guidance.skip_early", "guidance.skip_early", 0, 1),
    Bound("variation.seed", "the variation seed", *SEEDS),
    Bound("variation.strength", "the variation strength", 0, 1),
    Bound("variation.resize_from", "the size that noise is resized from", 8, LARGEST),
    Bound("tuning.eta", "eta", 0, HUGE),
    Bound("tuning.churn", "churn", 0, HUGE),
    Bound("tuning.churn_min", "churn_min", 0, HUGE),
    Bound("tuning.churn_max", "churn_max", 0, HUGE),
    Bound("tuning.noise", "the factor of noise", 0, HUGE),
    Bound("tuning.sigma_min", "sigma_min", 0, HUGE),
    Bound("tuning.sigma_max", "sigma_max", 0, HUGE),
    Bound("tuning.rho", "rho", 0, HUGE),
    Bound("tuning.beta_alpha", "beta_alpha", 0, HUGE),
    Bound("tuning.beta_beta", "beta_beta", 0, HUGE),
    Bound("tuning.unipc_order", "the order of UniPC", 1, UNIPC_ORDERS),
    Bound("hires.scale", "the scale of the second pass", 0.01, 64),
    Bound("hires.size", "a side of the second pass", 0, LARGEST),
    Bound("hires.steps", "the steps of the second pass", 0, 10_000),
    Bound("hires.denoise", "the second pass's denoising strength", 0, 1),
    Bound("init.denoise", "the denoising strength", 0, 1),
    Bound("init.noise", "the factor of the first noise", -HUGE, HUGE),
    Bound("init.extra_noise", "extra noise", -HUGE, HUGE),
    Bound("init.inpaint.weight", "the weight of the mask", 0, 1),
    Bound("init.inpaint.blur", "the blur of the mask", 0, LARGEST),
    Bound("init.inpaint.padding", "the padding of the mask", 0, LARGEST),
)


def check_bounds(request: Request) -> None:
    """Raises UsageError for the first number that is out of bounds, or none at all (NaN)."""
    for bound in BOUNDS:
        for number in _numbers(request, bound.path):
            if not bound.low <= number <= bound.high:
                raise UsageError(
                    f"{bound.title} is {_shown(number)}; it lies between {_shown(bound.low)} and "
                    f"{_shown(bound.high)}"
                )


def _numbers(request: Request, path: str) -> Iterator[float]:
    if not has_part(request, path.rpartition(".")[0]):
        return
    value: float | tuple[float, ...] | None = attrgetter(path)(request)
    if isinstance(value, tuple):
        yield from value
    elif value is not None:
        yield value


def _shown(number: float) -> str:
    return str(number) if isinstance(number, int) and abs(number) > LARGEST else f"{number:g}"
