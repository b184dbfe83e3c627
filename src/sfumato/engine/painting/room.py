"""Whether a picture can be painted in the memory there is, said before anything is painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.engine.autoencoding.room import room
from sfumato.errors import Refused, UsageError

if TYPE_CHECKING:
    from sfumato.engine.model import Model

MOST_PIXELS = 8192 * 8192
"""of one picture: attention to a larger one takes days on any machine"""

ALIVE = 16
"""maps of the UNet's first width at full size that exist at once, for each picture and each prompt:
what the way down keeps for the way up, and what a block is made of"""


def check_room(model: Model, size: tuple[int, int], pictures: int) -> None:
    """Raises UsageError for a size that nobody could wait for, Refused where memory is too small.

    size: width and height in pixels of the larger pass; pictures: those painted at once.
    """
    width, height = size
    if width * height > MOST_PIXELS:
        raise UsageError(
            f"{width}×{height} are {width * height / 1e6:.0f} megapixels, and the most that is "
            f"painted at once is {MOST_PIXELS / 1e6:.0f}"
        )
    free = room(model.placement.device)
    wanted = needed(model, size, pictures)
    if free is not None and wanted > free:
        raise Refused(
            f"painting {width}×{height} pixels takes about {wanted / 1e9:.0f} GB of memory, and "
            f"{free / 1e9:.1f} GB are free: make it smaller"
        )


def needed(model: Model, size: tuple[int, int], pictures: int) -> int:
    """Bytes that the UNet takes at its peak, weights left out, for the prompt and its negative."""
    cells = size[0] * size[1] // 64
    item = model.placement.dtype.itemsize
    return 2 * pictures * ALIVE * model.unet_sizes.widths[0] * cells * item
