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

    def sentence(self) -> str:
        """As a person reads it: "264 of 264 tensors of LoRA ink apply; UNet changed by 3.1 %"."""
        title = {"lora": "LoRA", "vae": "VAE"}.get(self.kind, self.kind)
        text = f"{self.applied} of {self.total} tensors of {title} {self.name} apply"
        parts = (("the UNet", self.change_unet), ("the text encoder", self.change_text))
        told = [f"{part} by {100 * change:.2g} %" for part, change in parts if change is not None]
        return text + (f"; they change {' and '.join(told)}" if told else "")
