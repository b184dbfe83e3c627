"""Pictures of what a run has learned so far, painted with the painter that users paint with."""

from __future__ import annotations

from pathlib import Path

from sfumato.containers.atomic import replacing
from sfumato.engine.model import Model
from sfumato.engine.painter import Painter
from sfumato.engine.pictures.picture import Picture
from sfumato.engine.pictures.sheet import contact_sheet
from sfumato.library.find import Shelf
from sfumato.training.settings import Run, word_of

SEED = 1234
"""of every preview, so that they can be compared"""


def paint_previews(run: Run, model: Model, shelf: Shelf | None, path: Path, side: int) -> Path:
    """One sheet with a picture of `side` pixels for each prompt; returns its path.

    `[trigger]` in a prompt stands for the word that is learned.

    Training's random numbers are functions of the step, so painting does not move them, and the
    painter leaves the weights as it finds them.
    """
    watch = run.watch
    prompts = [prompt.replace("[trigger]", word_of(run)) for prompt in watch.previews]
    painter = Painter(model, vae="none", shelf=shelf)
    pictures: list[Picture] = []
    try:
        for prompt in prompts:
            pictures += painter.generate(
                prompt, steps=watch.preview_steps, cfg=watch.preview_scale, seed=SEED,
                width=side, height=side,
            )  # fmt: skip
    finally:
        painter.detach()
    made = contact_sheet([picture.image for picture in pictures], prompts, columns=4)
    with replacing(path, 0, force=True) as sink:
        made.save(sink, "PNG")
    return path
