"""What became of a file that was to change a model: how much of it applies, and what it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Applied:
    """The report on one LoRA, embedding, hypernetwork or VAE."""

    kind: Literal["lora", "embedding", "hypernetwork", "vae"]
    name: str
    """as the prompt or the user calls it"""
    path: str
    applied: int
    """tensors of the file that are in use"""
    total: int
    """tensors of the file"""
    change_unet: float | None = None
    """norm of the change over norm of the weights; None where that is not told"""
    change_text: float | None = None
    notes: tuple[str, ...] = ()
    """why the rest is not in use, one sentence each"""
    strength: float | None = None
    """that it was asked for at, in the UNet; None for what has none"""
    strength_text: float | None = None
    """the same in the text encoder, where that is told apart"""

    def sentence(self) -> str:
        """As a person reads it: "4 of 4 tensors of LoRA ink at 1 apply; they change …"."""
        title = {"lora": "LoRA", "vae": "VAE"}.get(self.kind, self.kind)
        text = f"{self.applied} of {self.total} tensors of {title} {self.name}{self._at()} apply"
        parts = (("the UNet", self.change_unet), ("the text encoder", self.change_text))
        told = [f"{part} by {100 * change:.2g} %" for part, change in parts if change is not None]
        return text + (f"; they change {' and '.join(told)}" if told else "")

    def _at(self) -> str:
        """ " at 0.5", and apart " at 0.5 (0.2 in the text encoder)"."""
        if self.strength is None:
            return ""
        apart = self.strength_text is not None and self.strength_text != self.strength
        return f" at {self.strength:g}" + (
            f" ({self.strength_text:g} in the text encoder)" if apart else ""
        )
