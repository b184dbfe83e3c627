"""A short lesson for the starter checkpoint: minutes of training, and all editions compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.app.cli.console import complain, say
from sfumato.app.cli.training.asked import again
from sfumato.app.cli.training.teach import prepared, teach
from sfumato.containers.text import escape
from sfumato.errors import OutputExists
from sfumato.starter.wares import CHECKPOINT, PICTURES
from sfumato.training.settings import Base, Data, Ema, Objective, Optimizer, Run, Save, Watch
from sfumato.training.state import CONFIGURATION, run_folder

if TYPE_CHECKING:
    from PIL.Image import Image

    from sfumato.operations.original import Weights

NAME = "ink"
"""of the files that the lesson leaves"""

FEWEST = 20
"""steps, however short the time"""

RESERVED = 0.15
"""share of the time for loading, saving and previews"""

GIVEN = {"models": (), "device": None, "dry_run": False}
"""what `train` is given besides a run"""

PROMPTS = ("a red apple", "a cat", "a rocket", "a green heart")


def teach_starter(folder: Path, minutes: float, *, force: bool, as_json: bool) -> None:
    """Train for about `minutes`, then paint with the weights before, trained and averaged.

    A run that lies in `folder` already goes on instead, unless `force` begins it again.
    """
    output = folder / f"{NAME}.safetensors"
    if (run_folder(str(output)) / CONFIGURATION).is_file() and not force:
        run = again(run_folder(str(output)), {"steps": None, "set": ()})
    else:
        run = _fitted(_run(output), minutes, force=force)
    teach(run, GIVEN, as_json=as_json)
    compared = folder / "compared.png"
    _compare(folder / f"{NAME}-pruned.safetensors").save(compared)
    if not as_json:
        _say_what_is_there(folder, compared)


def _run(output: Path) -> Run:
    """The whole of the starter, at a rate at which ink shows after a minute or two."""
    return Run(
        "checkpoint",
        str(output),
        batch=16,
        title="The starter checkpoint after a lesson in ink",
        base=Base(CHECKPOINT),
        data=Data(str(PICTURES / NAME), flip=True, resolution=128, caption_dropout=0.05),
        objective=Objective(min_snr=5.0),
        optimizer=Optimizer(rate=2e-4, text_rate=1e-4, betas=(0.9, 0.99), warmup=10),
        ema=Ema(0.98),
        save=Save(every=0.25, files=False, editions=("ema", "pruned", "state")),
        watch=Watch(previews=PROMPTS),
    )


def _fitted(run: Run, minutes: float, *, force: bool) -> Run:
    """The run with as many steps as fit into the time on this machine."""
    import shutil

    folder = run_folder(run.output)
    if force and folder.is_dir():
        shutil.rmtree(folder)
    elif Path(run.output).exists():
        raise OutputExists(f"{escape(run.output)}: is already there (--force begins again)")
    from sfumato.training.trial import seconds_a_step

    trainee = prepared(run, GIVEN)
    for _done in trainee.prepare():
        pass
    pace = seconds_a_step(run, trainee)
    steps = max(FEWEST, int(60 * minutes * (1 - RESERVED) / pace))
    complain(f"  a step takes {pace:.2f} s here: {steps} steps in {minutes:g} minutes")
    return replace(run, steps=steps)


def _compare(pruned: Path) -> Image:
    """A sheet of the same prompts and seeds, painted by three sets of weights."""
    from sfumato.engine.open import load_painter
    from sfumato.engine.pictures.sheet import Sheet, draw_sheet

    rows: list[list[Image]] = []
    sets: tuple[tuple[str | Path, Weights], ...] = (
        (CHECKPOINT, "live"), (pruned, "live"), (pruned, "ema"),
    )  # fmt: skip
    for model, weights in sets:
        with load_painter(model, weights=weights) as painter:
            painted = [painter.generate(prompt, seed=1, cfg=4.0)[0] for prompt in PROMPTS]
        rows.append([picture.image for picture in painted])
    return draw_sheet(Sheet(rows, PROMPTS, ("before", "trained (live)", "averaged (EMA)")))


def _say_what_is_there(folder: Path, compared: Path) -> None:
    shown = escape(str(folder))
    say(f"""{escape(str(compared))}

  {shown}/{NAME}-state.ckpt  the whole state: both sets, optimizer, schedule; a pickle
  {shown}/{NAME}-pruned.safetensors  trained and averaged weights: to go on training from
  {shown}/{NAME}.safetensors  the averaged weights alone: to paint with
  look at them: sfumato inspect {shown}/{NAME}-state.ckpt
  go on: sfumato train resume {shown}/{NAME}.run --steps N""")
