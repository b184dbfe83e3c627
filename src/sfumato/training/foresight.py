"""What a run will take, said before its first step: draws, weights, memory and disk."""

from __future__ import annotations

from collections.abc import Iterator

from sfumato.containers.sizes import human
from sfumato.training.settings import Run
from sfumato.training.trainee import Trainee

SLOTS = {"adamw": 8, "adamw8bit": 2, "adafactor": 0, "prodigy": 16}
"""bytes that an optimiser keeps for each weight, about"""


def foresee(run: Run, trainee: Trainee) -> Iterator[str]:
    """Sentences on a run that is prepared."""
    parts = run.steps * run.accumulate
    pictures = parts * run.batch
    times = parts / trainee.batches
    yield (
        f"{run.steps} steps of {run.batch * run.accumulate}: {pictures} draws, each picture "
        f"about {times:.3g} times"
    )
    weights = [w for group in trainee.groups() for w in group.parameters.values()]
    count, held = sum(w.numel() for w in weights), sum(w.nbytes for w in weights)
    average = 4 * count if run.ema.decay else 0
    moments = SLOTS[run.optimizer.name] * count
    yield (
        f"memory: {human(2 * held + average + moments)} for the trained weights, gradients, "
        "average and optimiser, and the model and activations beside them"
    )
    state = held + average + moments
    kept = run.save.keep + run.save.best
    yield f"disk: {human(state)} for a state, of which {kept} are kept, and one is written beside"
    saves = _saves(run)
    yield f"saved after steps {saves}" if saves else "saved at the end"
    yield f"writes {run.output}"


def _saves(run: Run) -> str:
    from sfumato.training.loop import is_due

    steps = [str(step) for step in range(1, run.steps + 1) if is_due(run, step)]
    return ", ".join(steps if len(steps) <= 6 else [*steps[:3], "…", steps[-1]])
