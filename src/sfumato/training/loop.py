"""The training loop, from the first step or from where it stopped, to the last."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.nn import Parameter

from sfumato.errors import Refused
from sfumato.training.configuration import write_run
from sfumato.training.ema import Average
from sfumato.training.events import Event, Kept, Note, Stepped, Validated, Written
from sfumato.training.log import Log, plot
from sfumato.training.optimizers import Scalars, build, inner_state, restore
from sfumato.training.randomness import number
from sfumato.training.rates import factor
from sfumato.training.settings import Run
from sfumato.training.state import Plain, State, latest, read_state, write_state
from sfumato.training.torch_tensors import all_from_torch, to_torch
from sfumato.training.trainee import Trained, Trainee

CHECKED = 10
"""steps after which every weight must have moved"""


@dataclass(slots=True)
class Sitting:
    """A run as it stands: what changes from step to step."""

    run: Run
    trainee: Trainee
    folder: Path
    names: Mapping[str, Parameter]
    optimizer: torch.optim.Optimizer
    average: Average | None
    log: Log
    step: int = 0
    """steps done"""
    saved: int = -1
    """the step of the newest state on disk"""
    sums: dict[str, float] = field(default_factory=dict[str, float])
    """one number per weight from before the first step, to see that it moves"""


def run_folder(output: str) -> Path:
    """Where a run keeps its states: beside its output."""
    path = Path(output)
    return path.with_name(f"{path.stem}.run")


def train(run: Run, trainee: Trainee) -> Iterator[Event]:
    """Train until `run.steps` are done; goes on from the newest whole state if there is one.

    Closing the iterator saves a state first, so that nothing is lost. Raises Refused where the
    state on disk is of another run, where the loss is no number, and where a weight does not move.
    """
    sitting = _sit(run, trainee)
    yield from map(Note, trainee.notes)
    yield from map(Note, _resume(sitting))
    _first_sums(sitting)
    try:
        while sitting.step < run.steps:
            yield _one_step(sitting)
            _check_motion(sitting)
            if _is_due(sitting):
                yield from _keep(sitting)
    except GeneratorExit:
        if sitting.step > max(sitting.saved, 0):
            _save_state(sitting)
        raise
    if sitting.step > sitting.saved:
        yield from _keep(sitting)
    yield from _write_files(sitting, Path(run.output))


def _sit(run: Run, trainee: Trainee) -> Sitting:
    groups = trainee.groups()
    names = {name: p for group in groups for name, p in group.parameters.items()}
    if not names:
        raise Refused("there is nothing to train: no weight is chosen")
    folder = run_folder(run.output)
    folder.mkdir(parents=True, exist_ok=True)
    average = Average(names, run.ema.decay) if run.ema.decay else None
    return Sitting(
        run, trainee, folder, names, build(groups, run.optimizer), average,
        Log(folder / "log.csv", _newest(folder)),
    )  # fmt: skip


def _newest(folder: Path) -> int:
    path, _ = latest(folder)
    return 0 if path is None else read_state(path).step


def _one_step(sitting: Sitting) -> Stepped:
    """One step of the optimiser, from `run.accumulate` batches."""
    run, started = sitting.run, time.perf_counter()
    rate = _set_rate(sitting)
    total = 0.0
    with _seeded(run.seed, sitting.step):
        for part in range(run.accumulate):
            loss = sitting.trainee.loss(sitting.step * run.accumulate + part)
            total += _finite(loss.item(), sitting)
            (loss / run.accumulate).backward()
    if run.optimizer.clip:
        torch.nn.utils.clip_grad_norm_(sitting.names.values(), run.optimizer.clip)
    sitting.optimizer.step()
    sitting.optimizer.zero_grad(set_to_none=True)
    if sitting.average is not None:
        sitting.average.update(sitting.names)
    sitting.step += 1
    stepped = Stepped(
        sitting.step, run.steps, total / run.accumulate, rate, time.perf_counter() - started
    )
    sitting.log.add(
        step=stepped.step, epoch=_epoch(sitting), loss=stepped.loss,
        rate=rate * run.optimizer.rate, seconds=stepped.seconds,
    )  # fmt: skip
    return stepped


def _set_rate(sitting: Sitting) -> float:
    wanted = sitting.run.optimizer
    rate = factor(
        wanted.course, sitting.step, sitting.run.steps, warmup=wanted.warmup, decay=wanted.decay
    )
    for group in cast("list[dict[str, float]]", sitting.optimizer.param_groups):
        group["lr"] = group["initial_lr"] * rate
    return rate


@contextmanager
def _seeded(seed: int, step: int) -> Generator[None]:
    """Dropout draws from torch's own generator: the step decides where that one stands."""
    with torch.random.fork_rng():
        torch.manual_seed(number(seed, "dropout", step))
        yield


def _finite(loss: float, sitting: Sitting) -> float:
    if math.isfinite(loss):
        return loss
    path, _ = latest(sitting.folder)
    kept = f"the last good state is {path.name}" if path else "no state was saved yet"
    raise Refused(
        f"the loss is {loss} at step {sitting.step + 1}: the rate {sitting.run.optimizer.rate:g} "
        f"is too high, or a picture or weight is damaged; {kept}, and nothing was overwritten"
    )


def _epoch(sitting: Sitting) -> int:
    return sitting.step * sitting.run.accumulate // sitting.trainee.batches


def _first_sums(sitting: Sitting) -> None:
    if sitting.step < CHECKED:
        sitting.sums = {name: _sum(weight) for name, weight in sitting.names.items()}


def _sum(weight: Tensor) -> float:
    return (
        weight.detach().double().abs().sum().item()
        if weight.device.type != "mps"
        else (weight.detach().abs().sum().item())
    )


def _check_motion(sitting: Sitting) -> None:
    """After the first steps: whatever should move has moved."""
    if not sitting.sums or sitting.step < min(CHECKED, sitting.run.steps):
        return
    still = [name for name, before in sitting.sums.items() if _sum(sitting.names[name]) == before]
    sitting.sums = {}
    if still and sitting.run.optimizer.rate:
        raise Refused(
            f"{len(still)} of {len(sitting.names)} weights have not moved in {sitting.step} steps, "
            f"{still[0]} for one: the rate may be too small for their precision"
        )


def _is_due(sitting: Sitting) -> bool:
    """True where a state is to be saved now."""
    save, step = sitting.run.save, sitting.step
    interval = save.every if save.every >= 1 else save.every * sitting.run.steps
    return bool(interval) and int(step / interval) > int((step - 1) / interval)


def _keep(sitting: Sitting) -> Iterator[Event]:
    """Save a state, then look at what was learned so far."""
    yield Kept(sitting.step, _save_state(sitting))
    yield from _validate(sitting)
    with _averaged(sitting):
        for path in sitting.trainee.preview(sitting.folder, sitting.step):
            yield Written(sitting.step, path)
    plot(sitting.log, sitting.folder / "loss.png")
    if sitting.run.save.files and sitting.step < sitting.run.steps:
        output = Path(sitting.run.output)
        name = f"{output.stem}-{sitting.step:06d}{output.suffix}"
        yield from _write_files(sitting, sitting.folder / name)


def _validate(sitting: Sitting) -> Iterator[Event]:
    loss = sitting.trainee.validate()
    if loss is None:
        return
    average = None
    if sitting.average is not None:
        with _averaged(sitting):
            average = sitting.trainee.validate()
    sitting.log.add(step=sitting.step, epoch=_epoch(sitting), validation=average or loss)
    yield Validated(sitting.step, loss, average)


@contextmanager
def _averaged(sitting: Sitting) -> Generator[None]:
    """The averaged weights in the place of the live ones."""
    if sitting.average is None:
        yield
        return
    live = {name: weight.detach().clone() for name, weight in sitting.names.items()}
    _put(sitting.names, sitting.average.weights)
    try:
        yield
    finally:
        _put(sitting.names, live)


@torch.no_grad()
def _put(weights: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, weight in weights.items():
        weight.copy_(values[name])


def _save_state(sitting: Sitting) -> Path:
    tensors, numbers = inner_state(sitting.optimizer, sitting.names)
    average = sitting.average
    facts: dict[str, Plain] = {
        "run": write_run(sitting.run),
        "identity": cast("dict[str, Plain]", _identity(sitting)),
        "average_updates": average.updates if average else 0,
        "groups": cast("list[Plain]", numbers),
    }
    state = State(
        sitting.step,
        all_from_torch(sitting.names),
        all_from_torch(average.weights) if average else {},
        all_from_torch(tensors),
        facts,
    )
    (sitting.folder / "run.toml").write_text(write_run(sitting.run), "utf-8")
    path = write_state(sitting.folder, state, sitting.run.save.keep)
    sitting.saved = sitting.step
    return path


def _identity(sitting: Sitting) -> dict[str, str]:
    """What must be the same when a run goes on, and how a person calls it."""
    run = sitting.run
    return {
        "kind": run.kind,
        "seed": str(run.seed),
        "batch": str(run.batch),
        "accumulate": str(run.accumulate),
        "optimiser": run.optimizer.name,
        "EMA": str(bool(run.ema.decay)),
        "pictures and model": sitting.trainee.digest,
    }


def _resume(sitting: Sitting) -> Iterator[str]:
    """Put the newest whole state back; says from where the run goes on."""
    path, notes = latest(sitting.folder)
    yield from notes
    if path is None:
        return
    state = read_state(path)
    _check_identity(sitting, path, cast("Mapping[str, str]", state.facts.get("identity", {})))
    _put(sitting.names, {name: to_torch(tensor) for name, tensor in state.weights.items()})
    tensors = {name: to_torch(tensor) for name, tensor in state.optimizer.items()}
    groups = cast("Sequence[Scalars]", state.facts["groups"])
    restore(sitting.optimizer, sitting.names, tensors, groups)
    if sitting.average is not None:
        sitting.average.updates = cast(int, state.facts["average_updates"])
        _put(sitting.average.weights, {n: to_torch(t) for n, t in state.average.items()})
    sitting.step = sitting.saved = state.step
    yield f"goes on after step {state.step} of {sitting.run.steps}, from {path.name}"


def _check_identity(sitting: Sitting, path: Path, before: Mapping[str, str]) -> None:
    now = _identity(sitting)
    changed = [key for key, value in now.items() if before.get(key) != value]
    if changed:
        raise Refused(
            f"{path} is a state of another run: {' and '.join(changed)} changed; "
            "give another output, or remove the folder to begin anew"
        )


def _write_files(sitting: Sitting, path: Path) -> Iterator[Event]:
    tensors, _ = inner_state(sitting.optimizer, sitting.names)
    average = sitting.average
    trained = Trained(
        sitting.names,
        average.weights if average else {},
        average.updates if average else 0,
        average.decay if average else 0.0,
        tensors,
        sitting.step,
        _epoch(sitting),
        {"sfumato.run": write_run(sitting.run)},
    )
    for written in sitting.trainee.write(trained, path):
        yield Written(sitting.step, written)
