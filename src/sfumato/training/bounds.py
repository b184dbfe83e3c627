"""The values that settings of a run may have, where their type allows more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite

from sfumato.errors import UsageError
from sfumato.training.settings import Run


@dataclass(frozen=True, slots=True)
class Bound:
    """The least and the greatest value of one setting."""

    setting: str
    value: Callable[[Run], float]
    least: float
    most: float = inf
    open: bool = False
    """True where `most` itself is too much"""


BOUNDS: tuple[Bound, ...] = (
    Bound("steps", lambda run: run.steps, 1),
    Bound("batch", lambda run: run.batch, 1),
    Bound("accumulate", lambda run: run.accumulate, 1),
    Bound("seed", lambda run: run.seed, 0, 2**63),
    Bound("data.hold_out", lambda run: run.data.hold_out, 0),
    Bound("data.resolution", lambda run: run.data.resolution, 0, 8192),
    Bound("data.bucket_step", lambda run: run.data.bucket_step, 0, 1024),
    Bound("data.repeats", lambda run: run.data.repeats, 1),
    Bound("data.caption_dropout", lambda run: run.data.caption_dropout, 0, 1),
    Bound("data.tag_dropout", lambda run: run.data.tag_dropout, 0, 1),
    Bound("data.keep_tags", lambda run: run.data.keep_tags, 0),
    Bound("objective.min_snr", lambda run: run.objective.min_snr, 0),
    Bound("objective.noise_offset", lambda run: run.objective.noise_offset, 0),
    Bound("objective.draws", lambda run: run.objective.draws, 1),
    Bound("objective.prior_weight", lambda run: run.objective.prior_weight, 0),
    Bound("optimizer.rate", lambda run: run.optimizer.rate, 0),
    Bound("optimizer.text_rate", lambda run: run.optimizer.text_rate, 0),
    Bound("optimizer.betas", lambda run: min(run.optimizer.betas), 0),
    Bound("optimizer.betas", lambda run: max(run.optimizer.betas), 0, 1, open=True),
    Bound("optimizer.weight_decay", lambda run: run.optimizer.weight_decay, 0),
    Bound("optimizer.warmup", lambda run: run.optimizer.warmup, 0),
    Bound("optimizer.decay", lambda run: run.optimizer.decay, 0, 1),
    Bound("optimizer.clip", lambda run: run.optimizer.clip, 0),
    Bound("ema.decay", lambda run: run.ema.decay, 0, 1, open=True),
    Bound("save.every", lambda run: run.save.every, 0),
    Bound("save.minutes", lambda run: run.save.minutes, 0),
    Bound("save.keep", lambda run: run.save.keep, 1),
    Bound("watch.validate_every", lambda run: run.watch.validate_every, 0),
    Bound("watch.preview_steps", lambda run: run.watch.preview_steps, 1, 1000),
    Bound("watch.preview_size", lambda run: run.watch.preview_size, 0, 8192),
    Bound("lora.rank", lambda run: run.lora.rank, 1),
    Bound("lora.alpha", lambda run: run.lora.alpha, 0),
    Bound("lora.conv_rank", lambda run: run.lora.conv_rank, 0),
    Bound("lora.factor", lambda run: run.lora.factor, 1),
    Bound("lora.dropout", lambda run: run.lora.dropout, 0, 1, open=True),
    Bound("lora.rank_dropout", lambda run: run.lora.rank_dropout, 0, 1, open=True),
    Bound("lora.module_dropout", lambda run: run.lora.module_dropout, 0, 1, open=True),
    Bound("embedding.vectors", lambda run: run.embedding.vectors, 1, 75),
    Bound("vae.crop", lambda run: run.vae.crop, 0),
    Bound("vae.kl", lambda run: run.vae.kl, 0),
)
"""every bound, in the order of the settings"""


def check_bounds(run: Run, where: str) -> None:
    """Raises UsageError for the first setting that is out of its bounds, or beside another."""
    for bound in BOUNDS:
        value = bound.value(run)
        high = value >= bound.most if bound.open else value > bound.most
        if not isfinite(value) or value < bound.least or high:
            raise UsageError(f"{where}: {bound.setting} is {_range(bound)}, not {value:g}")
    for fault in _contradictions(run):
        raise UsageError(f"{where}: {fault}")


def _range(bound: Bound) -> str:
    if bound.most == inf:
        return f"{bound.least:g} or more"
    if bound.open:
        return f"{bound.least:g} or more and below {bound.most:g}"
    return f"from {bound.least:g} to {bound.most:g}"


def _contradictions(run: Run) -> list[str]:
    """Settings that make no sense beside one another."""
    faults: list[str] = []
    if run.kind == "embedding" and run.data.caption_dropout:
        faults.append(
            "an embedding learns from captions that hold its word: data.caption_dropout is 0"
        )
    rates = run.optimizer
    if rates.name == "prodigy" and rates.text_rate not in (0, rates.rate):
        faults.append("prodigy finds one rate for all: optimizer.text_rate is 0 or optimizer.rate")
    data = run.data
    if data.hold_out and data.validation:
        faults.append(
            "data.hold_out takes pictures of the folder to measure the loss on, and "
            "data.validation names others: give one of the two"
        )
    if data.hold_out > 1 and data.hold_out != int(data.hold_out):
        faults.append(f"data.hold_out is a share below 1 or a whole number, not {data.hold_out:g}")
    if run.save.best and not (data.validation or data.hold_out):
        faults.append(
            "save.best needs pictures to measure the loss on: data.validation or data.hold_out"
        )
    return faults
