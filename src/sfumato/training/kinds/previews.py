"""Pictures of what a run has learned so far, painted with the painter that users paint with."""

from __future__ import annotations

from pathlib import Path

import torch

from sfumato.containers.atomic import replacing
from sfumato.engine.model import Model
from sfumato.engine.painter import Painter
from sfumato.engine.pictures.sheet import contact_sheet
from sfumato.training.kinds.part import Part
from sfumato.training.settings import Run

SEED = 1234
"""of every preview, so that they can be compared"""


def paint_previews(run: Run, model: Model, part: Part, folder: Path, step: int) -> Path:
    """One sheet with a picture for each prompt; returns its path.

    Training's random numbers are functions of the step, so painting does not move them.
    """
    watch = run.watch
    painter = Painter(model, vae="none", shelf=part.shelf(folder))
    pictures = []
    with torch.no_grad():
        for prompt in watch.previews:
            pictures += painter.generate(
                prompt, steps=watch.preview_steps, cfg=watch.preview_scale, seed=SEED,
                width=watch.preview_size, height=watch.preview_size,
            )  # fmt: skip
    path = folder / f"preview-{step:06d}.png"
    made = contact_sheet([picture.image for picture in pictures], watch.previews, columns=4)
    with replacing(path, 0, force=True) as sink:
        made.save(sink, "PNG")
    return path
