"""The training loop, from the first step or from where it stopped, to the last."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from pathlib import Path

from sfumato.errors import MissingExtra
from sfumato.training.configuration import write_run
from sfumato.training.events import Event, Kept, Note, Prepared, Stepped, Validated, Written
from sfumato.training.keeping import resume, save_state, write_configuration
from sfumato.training.lock import locked
from sfumato.training.log import plot
from sfumato.training.optimizers import inner_state
from sfumato.training.output import signed
from sfumato.training.settings import Run
from sfumato.training.sitting import Sitting, averaged, one_step, sit
from sfumato.training.state import run_folder as run_folder
from sfumato.training.trainee import Trained, Trainee


def train(run: Run, trainee: Trainee) -> Generator[Event]:
    """Train until `run.steps` are done; goes on from the newest whole state if there is one.

    Closing the iterator saves a state first, so that nothing but the step that was under way is
    lost. Raises Refused where the state on disk is of another run, where the loss is no number,
    where a weight does not move, and where another process trains the same.
    """
    folder = run_folder(run.output)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        sitting = sit(run, trainee, folder)
        try:
            yield from _begin(sitting)
            yield from _go_on(sitting)
            yield from _end(sitting)
        finally:
            if sitting.board is not None:
                sitting.board.close()


def _begin(sitting: Sitting) -> Iterator[Event]:
    yield from map(Note, sitting.trainee.notes)
    yield from map(Note, resume(sitting))
    yield from map(Note, _warnings(sitting))
    write_configuration(sitting.folder, sitting.run)
    for done, total in sitting.trainee.prepare():
        yield Prepared(done, total)
    sitting.motion.begin(sitting.run, sitting.step, sitting.names)
    sitting.clock = time.monotonic()


def _go_on(sitting: Sitting) -> Iterator[Event]:
    """Every step that is left."""
    run = sitting.run
    try:
        while sitting.step < run.steps:
            stepped = yield from one_step(sitting)
            _log(sitting, stepped)
            yield stepped
            yield from map(Note, sitting.motion.check(run, sitting.step, sitting.names))
            every = run.watch.validate_every
            if every and sitting.step % every == 0:
                yield from _validate(sitting)
            if is_due(run, sitting.step):
                yield from _keep(sitting)
            elif run.save.minutes and time.monotonic() - sitting.clock > 60 * run.save.minutes:
                yield Kept(sitting.step, save_state(sitting))
    except GeneratorExit:
        if sitting.step > max(sitting.saved, 0):
            save_state(sitting)
        raise


def _end(sitting: Sitting) -> Iterator[Event]:
    if sitting.step > sitting.saved:
        yield from _keep(sitting)
    yield from _write_files(sitting, Path(sitting.run.output))


def _warnings(sitting: Sitting) -> Iterator[str]:
    """What a person may not expect of the settings."""
    run, average = sitting.run, sitting.average
    if sitting.step >= run.steps:
        yield f"all {run.steps} steps are done: give more steps to go on"
    elif average is not None and (1 + run.steps) / (10 + run.steps) < run.ema.decay:
        reached = (1 + run.steps) / (10 + run.steps)
        yield (
            f"the average warms up: after {run.steps} steps its decay is {reached:.4g}, and "
            f"{run.ema.decay:g} only later"
        )


def _log(sitting: Sitting, stepped: Stepped) -> None:
    rate = stepped.rate * sitting.run.optimizer.rate
    sitting.log.add(
        step=stepped.step, epoch=sitting.epoch, loss=stepped.loss, rate=rate,
        seconds=stepped.seconds,
    )  # fmt: skip
    if sitting.board is not None:
        sitting.board.stepped(stepped, rate)


def is_due(run: Run, step: int) -> bool:
    """True where the run is to be saved after this step."""
    interval = run.save.every if run.save.every >= 1 else run.save.every * run.steps
    if not interval:
        return False
    # A hair more, so that a tenth of 30 steps is 3 of them.
    return int(step / interval + 1e-9) > int((step - 1) / interval + 1e-9)


def _keep(sitting: Sitting) -> Iterator[Event]:
    """Save a state, then look at what was learned so far."""
    yield Kept(sitting.step, save_state(sitting))
    if not sitting.run.watch.validate_every:
        yield from _validate(sitting)
    yield from _preview(sitting)
    try:
        plot(sitting.log, sitting.folder / "loss.png")
    except MissingExtra as error:
        yield Note(str(error))
    if sitting.board is not None:
        sitting.board.flush()
    if sitting.run.save.files and sitting.step < sitting.run.steps:
        output = Path(sitting.run.output)
        name = f"{output.stem}-{sitting.step:06d}{output.suffix}"
        yield from _write_files(sitting, sitting.folder / name)


def _preview(sitting: Sitting) -> Iterator[Event]:
    with averaged(sitting):
        for path in sitting.trainee.preview(sitting.folder, sitting.step):
            if sitting.board is not None:
                sitting.board.preview(path, sitting.step)
            yield Written(sitting.step, path)


def _validate(sitting: Sitting) -> Iterator[Event]:
    loss = sitting.trainee.validate()
    if loss is None:
        return
    average = None
    if sitting.average is not None:
        with averaged(sitting):
            average = sitting.trainee.validate()
    said = loss if average is None else average
    sitting.log.add(step=sitting.step, epoch=sitting.epoch, validation=said)
    validated = Validated(sitting.step, loss, average)
    if sitting.board is not None:
        sitting.board.validated(validated)
    yield validated


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
        sitting.epoch,
        {"sfumato.run": write_run(sitting.run), **signed(sitting.run)},
    )
    for written in sitting.trainee.write(trained, path):
        yield Written(sitting.step, written)
