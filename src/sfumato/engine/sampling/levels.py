"""The noise levels of one run: those of a schedule, as a sampler and the settings want them."""

from __future__ import annotations

import torch
from torch import Tensor

from sfumato.engine.model import Family
from sfumato.engine.request import Tuning
from sfumato.engine.sampling.discretisation import Discretisation
from sfumato.engine.sampling.registry import find_sampler, find_schedule
from sfumato.engine.sampling.sampler import Sampler
from sfumato.engine.sampling.schedules import AUTOMATIC, Schedule, Span, uniform
from sfumato.errors import UsageError

OLD_KARRAS = (0.1, 10.0)


def resolve(sampler: Sampler, name: str) -> Schedule | None:
    """The schedule of a name; for Automatic the sampler's own, None where it has none."""
    return find_schedule(name) or find_schedule(sampler.schedule)


def sigmas(
    name: str,
    steps: int,
    discretisation: Discretisation,
    tuning: Tuning | None = None,
    family: Family = "sd1",
    *,
    sampler: Sampler | str,
) -> Tensor:
    """Falling levels (n + 1,), float32 on the CPU, of a run of `steps`: the schedule called `name`.

    discretisation: the model's; a sampler that has levels of its own takes them from it. Most
    schedules end with 0. Some give another number of levels than was asked for.
    Raises UsageError for no steps at all, an unknown name, or settings that leave no range.
    """
    if steps < 1:
        raise UsageError(f"a picture takes at least 1 step, and {steps} were asked for")
    tuning = tuning or Tuning()
    found = find_sampler(sampler)[0] if isinstance(sampler, str) else sampler
    table = found.levels(discretisation) if found.levels else discretisation
    discard = found.discard or tuning.discard_penultimate
    span = _span(steps + discard, table, tuning, xl=family.startswith("sdxl"))
    schedule = resolve(found, name)
    levels = _levels(schedule, span)
    if discard:
        levels = torch.cat([levels[:-2], levels[-1:]])
    return levels


def _levels(schedule: Schedule | None, span: Span) -> Tensor:
    """Raises UsageError where rho, alpha or beta are beyond what numbers of 64 bits can do."""
    try:
        levels = schedule.sigmas(span) if schedule else uniform(span)
        sound = bool((levels[0] > 0) & levels.isfinite().all() & (levels.diff() <= 0).all())
    except (ArithmeticError, ValueError):
        sound, levels = False, torch.empty(0)
    if sound and (span.steps == 1 or levels[0] > levels[-2]):
        return levels
    name = schedule.name if schedule else uniform.__name__
    alpha, beta = span.beta
    told = f"alpha {alpha:g} and beta {beta:g}" if name == "Beta" else f"rho {span.rho:g}"
    raise UsageError(f"the schedule {name} makes no falling noise levels of {told}")


def _span(steps: int, table: Discretisation, tuning: Tuning, *, xl: bool) -> Span:
    low, high = OLD_KARRAS if tuning.old_karras else (table.sigma_min, table.sigma_max)
    low, high = tuning.sigma_min or low, tuning.sigma_max or high
    if not 0 < low < high:
        raise UsageError(f"the schedule would go from sigma {high:g} down to {low:g}")
    if min(tuning.beta_alpha, tuning.beta_beta) <= 0:
        raise UsageError("alpha and beta of the Beta schedule are above 0")
    return Span(
        steps,
        low,
        high,
        table,
        rho=tuning.rho,
        beta=(tuning.beta_alpha, tuning.beta_beta),
        xl=xl,
    )


__all__ = ["AUTOMATIC", "resolve", "sigmas"]
