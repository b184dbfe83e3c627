"""A studio: pictures by prompt and seed, painted once and then remembered."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from sfumato.library.find import Shelf

if TYPE_CHECKING:
    from sfumato.engine.painter import Painter

SAMPLER, SCHEDULE, STEPS = "DPM++ 2M", "Karras", 20
CFG = 4.0
"""how strongly prompts are followed, where nothing else is said"""

Picture = NDArray[np.uint8]
"""(height, width, 3)"""


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture is painted with, beside what its prompt names."""

    checkpoint: Path | None = None
    """None is the studio's own"""
    weights: Literal["live", "ema"] = "live"
    vae: str = "none"
    """another VAE; "none" is the checkpoint's own"""
    shelf: bool = True
    """False finds no LoRA, embedding or hypernetwork"""


OWN = Look()


class Studio:
    """Paints with the files of one folder of models."""

    def __init__(self, models: Path, checkpoint: Path, side: int) -> None:
        """models: folder with `loras`, `embeddings` … side: of every picture, in pixels."""
        self.models = models
        self.checkpoint = checkpoint
        self.side = side
        self._painters: dict[Look, Painter] = {}
        self._painted: dict[tuple[Look, str, int, float], Picture] = {}

    def file(self, name: str) -> Path:
        """Where a file lies that is named by folder and name."""
        if name == "checkpoints/starter":
            return self.checkpoint
        suffix = ".pt" if name.startswith("hypernetworks/") else ".safetensors"
        return self.models / f"{name}{suffix}"

    def paint(self, prompt: str, seed: int, *, cfg: float = CFG, look: Look = OWN) -> Picture:
        """One picture."""
        key = (look, prompt, seed, cfg)
        if key not in self._painted:
            (picture,) = self._painter(look).generate(
                prompt, cfg=cfg, seed=seed, steps=STEPS, sampler=SAMPLER, schedule=SCHEDULE,
                width=self.side, height=self.side,
            )  # fmt: skip
            self._painted[key] = np.asarray(picture.image.convert("RGB"))
            print(f"\r  {len(self._painted)} pictures", end="", file=sys.stderr, flush=True)
        return self._painted[key]

    def each(
        self, prompts: Sequence[str], *, start: int = 1, cfg: float = CFG, look: Look = OWN
    ) -> NDArray[np.uint8]:
        """One picture for each prompt, with seeds that count up: (n, height, width, 3)."""
        seeds = range(start, start + len(prompts))
        rows = zip(prompts, seeds, strict=True)
        return np.stack([self.paint(text, seed, cfg=cfg, look=look) for text, seed in rows])

    def _painter(self, look: Look) -> Painter:
        from sfumato.engine.loading.load import load
        from sfumato.engine.painter import Painter

        if look not in self._painters:
            shelf = Shelf((self.models,)) if look.shelf else Shelf()
            vae = str(self.file(look.vae)) if look.vae != "none" else "none"
            model = load(look.checkpoint or self.checkpoint, device="cpu", weights=look.weights)
            self._painters[look] = Painter(model, shelf=shelf, vae=vae)
        return self._painters[look]

    def close(self) -> None:
        """Let go of every model."""
        for painter in self._painters.values():
            painter.close()
        self._painters.clear()
