"""A run's losses and previews as events for TensorBoard, where a user asked for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.errors import MissingExtra

if TYPE_CHECKING:
    from sfumato.training.events import Stepped, Validated


class Board:
    """A folder of events; those after the step that a run goes on from are hidden."""

    def __init__(self, folder: Path, step: int) -> None:
        """Raises MissingExtra without tensorboard."""
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise MissingExtra("watch.tensorboard needs: pip install tensorboard") from error
        purge = step + 1 if step else None
        self._writer: Any = SummaryWriter(str(folder), purge_step=purge)

    def stepped(self, event: Stepped, rate: float) -> None:
        """Loss and learning rate of a step."""
        self._writer.add_scalar("train/loss", event.loss, event.step)
        self._writer.add_scalar("train/rate", rate, event.step)

    def validated(self, event: Validated) -> None:
        """Losses on pictures that are not trained on."""
        self._writer.add_scalar("validation/loss", event.loss, event.step)
        if event.average is not None:
            self._writer.add_scalar("validation/average", event.average, event.step)

    def preview(self, path: Path, step: int) -> None:
        """A sheet of previews."""
        import numpy as np
        from PIL import Image

        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        self._writer.add_image("preview", pixels, step, dataformats="HWC")

    def flush(self) -> None:
        """Write what is not on disk yet."""
        self._writer.flush()

    def close(self) -> None:
        """Write everything and let the file go."""
        self._writer.close()
