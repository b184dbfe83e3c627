"""A run put on disk so that it can go on, and taken up again as if it had never stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from sfumato.containers.atomic import replacing
from sfumato.containers.text import escape
from sfumato.errors import Refused, UsageError
from sfumato.training.configuration import parse_run, settings_of, write_run
from sfumato.training.optimizers import Scalars, inner_state, restore
from sfumato.training.settings import Run
from sfumato.training.sitting import Sitting, put
from sfumato.training.state import CONFIGURATION, Plain, State, latest, read_state, write_state
from sfumato.training.torch_tensors import all_from_torch, to_torch


def write_configuration(folder: Path, run: Run) -> None:
    """Leave the configuration where `sfumato train resume` looks for it."""
    text = write_run(run).encode()
    with replacing(folder / CONFIGURATION, len(text), force=True) as file:
        file.write(text)


def save_state(sitting: Sitting) -> Path:
    """Write everything that the run needs to go on; returns the state's folder."""
    tensors, numbers = inner_state(sitting.optimizer, sitting.names)
    average, save = sitting.average, sitting.run.save
    facts: dict[str, Plain] = {
        "run": write_run(sitting.run),
        "identity": cast("dict[str, Plain]", _identity(sitting)),
        "average_updates": average.updates if average else 0,
        "groups": cast("list[Plain]", numbers),
    }
    if factor := sitting.scaling.state():
        facts["scaling"] = cast("dict[str, Plain]", factor)
    state = State(
        sitting.step,
        all_from_torch(sitting.names),
        all_from_torch(average.weights) if average else {},
        all_from_torch(tensors),
        facts,
    )
    best = sitting.log.best() if save.best else None
    path = write_state(sitting.folder, state, save.keep, best)
    sitting.saved, sitting.clock = sitting.step, time.monotonic()
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
        "batches in an epoch": str(sitting.trainee.batches),
        "pictures and model": sitting.trainee.digest,
    }


def resume(sitting: Sitting) -> Iterator[str]:
    """Put the newest whole state back; says from where the run goes on, and what is new.

    Raises Refused where that state is of another run, with everything that differs.
    """
    path, notes = latest(sitting.folder)
    yield from notes
    if path is None:
        return
    state = read_state(path)
    differences = [*_other_identity(sitting, state), *_other_weights(sitting, state)]
    if differences:
        raise Refused(
            f"{path} is a state of another run: {'; '.join(differences)}; give another output, or "
            "remove the folder to begin anew"
        )
    _restore(sitting, state)
    yield f"goes on after step {state.step} of {sitting.run.steps}, from {path.name}"
    yield from _changed(sitting.run, str(state.facts.get("run", "")))


def _restore(sitting: Sitting, state: State) -> None:
    put(sitting.names, {name: to_torch(tensor) for name, tensor in state.weights.items()})
    tensors = {name: to_torch(tensor) for name, tensor in state.optimizer.items()}
    groups = cast("Sequence[Scalars]", state.facts["groups"])
    restore(sitting.optimizer, sitting.names, tensors, groups)
    sitting.scaling.restore(cast("Mapping[str, float]", state.facts.get("scaling", {})))
    if sitting.average is not None:
        sitting.average.updates = cast(int, state.facts["average_updates"])
        put(sitting.average.weights, {n: to_torch(t) for n, t in state.average.items()})
    sitting.step = sitting.saved = state.step


def _other_identity(sitting: Sitting, state: State) -> Iterator[str]:
    before = cast("Mapping[str, str]", state.facts.get("identity", {}))
    for key, now in _identity(sitting).items():
        was = before.get(key, now)  # states written before a key was known do not have it
        if was == now:
            continue
        said = f"{key} was {escape(was, 60)} and is {escape(now, 60)}"
        yield f"{key} are others" if key == "pictures and model" else said


def _other_weights(sitting: Sitting, state: State) -> Iterator[str]:
    """Weights that are only on one side, or of other shapes."""
    names, held = sitting.names, state.weights
    odd = [*(names.keys() ^ held.keys())]
    odd += [n for n in names.keys() & held.keys() if tuple(names[n].shape) != held[n].shape]
    if odd:
        yield f"{len(odd)} weights are others, {escape(min(odd), 80)} for one"


def _changed(run: Run, text: str) -> Iterator[str]:
    """Settings that a person has changed since, which is allowed, and is worth a line."""
    try:
        before = settings_of(parse_run(text))
    except UsageError:
        return  # written by a version that knew other settings
    now = settings_of(parse_run(write_run(run)))  # 1 and 1.0 are one number
    told = [f"{key} was {before.get(key, 'not there')} and is {value}"
            for key, value in now.items() if before.get(key) != value]  # fmt: skip
    if told:
        yield f"changed since: {'; '.join(told)}"
