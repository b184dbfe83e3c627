"""What A1111's embeddings and hypernetworks say of the training that made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sfumato.containers.model_file import Leaf
from sfumato.containers.text import escape

MOST = 10**12
"""steps that somebody may have trained"""


def training_notes(extras: Mapping[str, Leaf]) -> Iterator[str]:
    """One clause on steps and checkpoint, where the file has them."""
    step, checkpoint = extras.get("step"), extras.get("sd_checkpoint_name")
    known = isinstance(step, int) and step is not True and 0 < step < MOST
    steps = f"{step} steps" if known else ""
    base = f"on {escape(checkpoint, 80)}" if isinstance(checkpoint, str) and checkpoint else ""
    short = extras.get("sd_checkpoint")
    if base and isinstance(short, str) and short:
        base += f" ({escape(short, 20)})"
    if steps or base:
        yield f"trained {steps} {base}".replace("  ", " ").rstrip()
