"""A run as it stands: its weights, optimiser and average, and what one step does to them."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grad_norm_, get_total_norm

from sfumato.errors import Refused
from sfumato.training.board import Board
from sfumato.training.ema import Average
from sfumato.training.events import Accumulated, Note, Stepped
from sfumato.training.log import Log
from sfumato.training.motion import Motion
from sfumato.training.optimizers import build
from sfumato.training.precision import Scaling, scaling
from sfumato.training.randomness import number
from sfumato.training.rates import factor
from sfumato.training.settings import Run
from sfumato.training.state import latest, read_state
from sfumato.training.trainee import Trainee


@dataclass(slots=True)
class Sitting:
    """A run between two steps."""

    run: Run
    trainee: Trainee
    folder: Path
    names: Mapping[str, Parameter]
    """every weight that is trained"""
    optimizer: torch.optim.Optimizer
    average: Average | None
    log: Log
    board: Board | None
    motion: Motion
    scaling: Scaling
    step: int = 0
    """steps done"""
    saved: int = -1
    """the step of the newest state on disk"""
    clock: float = 0.0
    """when that was, or when the sitting began"""

    @property
    def epoch(self) -> int:
        """Times that all pictures were drawn."""
        return self.step * self.run.accumulate // self.trainee.batches


def sit(run: Run, trainee: Trainee, folder: Path) -> Sitting:
    """The run before its first step; raises Refused where there is nothing to train."""
    groups = trainee.groups()
    names = {name: p for group in groups for name, p in group.parameters.items()}
    if not names:
        raise Refused("there is nothing to train: no weight is chosen")
    for weight in names.values():
        weight.grad = None
    newest, _ = latest(folder)
    step = 0 if newest is None else read_state(newest).step
    return Sitting(
        run, trainee, folder, names, build(groups, run.optimizer),
        Average(names, run.ema.decay) if run.ema.decay else None,
        Log(folder / "log.csv", step),
        Board(folder / "events", step) if run.watch.tensorboard else None,
        Motion(),
        scaling(run.precision, next(iter(names.values())).device),
        clock=time.monotonic(),
    )  # fmt: skip


def one_step(sitting: Sitting) -> Generator[Accumulated | Note, None, Stepped]:
    """One step of the optimiser, from `run.accumulate` batches; nothing moves before the last.

    Raises Refused, before any weight moves, where loss or gradient are no numbers.
    """
    run, started = sitting.run, time.perf_counter()
    rate, losses = _set_rate(sitting), list[Tensor]()
    for part in range(run.accumulate):
        with _seeded(sitting, part):
            loss = sitting.trainee.loss(sitting.step * run.accumulate + part)
            torch.autograd.backward(sitting.scaling.up(loss / run.accumulate))
        losses.append(loss.detach().float())
        if part + 1 < run.accumulate:
            yield Accumulated(sitting.step + 1, part + 1, run.accumulate)
    loss = _checked(sitting, losses, _clip(sitting))
    yield from _move(sitting)
    sitting.step += 1
    return Stepped(sitting.step, run.steps, loss, rate, time.perf_counter() - started)


def _move(sitting: Sitting) -> Iterator[Note]:
    """Let the weights and their average follow the gradient, unless float16 could not hold it."""
    if sitting.scaling.step(sitting.optimizer):
        sitting.motion.see(sitting.names)
        if sitting.average is not None:
            sitting.average.update(sitting.names)
    else:
        sitting.motion.wait()
        yield Note(
            f"step {sitting.step + 1} moves nothing: its gradient was too large for f16, and the "
            f"loss is multiplied by {sitting.scaling.factor:g} from now on"
        )
    sitting.optimizer.zero_grad(set_to_none=True)


def _set_rate(sitting: Sitting) -> float:
    wanted = sitting.run.optimizer
    rate = factor(
        wanted.course, sitting.step, sitting.run.steps, warmup=wanted.warmup, decay=wanted.decay
    )
    for group in cast("list[dict[str, float]]", sitting.optimizer.param_groups):
        group["lr"] = group["initial_lr"] * rate
    return rate


@contextmanager
def _seeded(sitting: Sitting, part: int) -> Generator[None]:
    """Dropout draws from torch's own generator: step and part decide where that one stands."""
    device = next(iter(sitting.names.values())).device
    others = [device] if device.type == "cuda" else []
    place = (sitting.step, part) if part else (sitting.step,)
    with torch.random.fork_rng(others):  # pyright: ignore[reportUnknownMemberType]
        torch.manual_seed(  # pyright: ignore[reportUnknownMemberType]
            number(sitting.run.seed, "dropout", *place)
        )
        yield


def _clip(sitting: Sitting) -> Tensor:
    """The norm of the gradient (), which is limited where the run says so."""
    weights = sitting.names.values()
    sitting.scaling.down(sitting.optimizer)
    if sitting.run.optimizer.clip:
        return clip_grad_norm_(weights, sitting.run.optimizer.clip)
    return get_total_norm([weight.grad for weight in weights if weight.grad is not None])


def _checked(sitting: Sitting, losses: list[Tensor], norm: Tensor) -> float:
    """The mean loss, asked of the device once a step."""
    *found, length = cast(
        "list[float]",
        torch.stack([*losses, norm.float().to(losses[0].device)]).tolist(),  # pyright: ignore[reportUnknownMemberType]
    )
    loss = sum(found) / len(found)
    if math.isfinite(loss) and (math.isfinite(length) or sitting.scaling.forgives):
        return loss
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient is {length}"
    newest, _ = latest(sitting.folder)
    kept = f"the last good state is {newest.name}" if newest else "no state was saved yet"
    raise Refused(
        f"{what} at step {sitting.step + 1}: the rate {sitting.run.optimizer.rate:g} is too high, "
        f"or a picture or weight is damaged; {kept}, and nothing was overwritten"
    )


@contextmanager
def averaged(sitting: Sitting) -> Generator[None]:
    """The averaged weights in the place of the live ones."""
    if sitting.average is None:
        yield
        return
    live = {name: weight.detach().clone() for name, weight in sitting.names.items()}
    put(sitting.names, sitting.average.weights)
    try:
        yield
    finally:
        put(sitting.names, live)


@torch.no_grad()
def put(weights: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Overwrite every weight with the value of its name."""
    for name, weight in weights.items():
        weight.copy_(values[name])
