"""What ships: every starter file by its name, with what it is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HERE = Path(__file__).parent

MODELS = HERE / "models"
"""a folder of models, laid out so that each file's folder says what it is"""

PICTURES = HERE / "pictures"
"""folders of captioned pictures to try training with"""

CHECKPOINT = "starter"
"""the checkpoint that paints where none is named"""

FOLDERS = {
    "checkpoint": "checkpoints",
    "vae": "vae",
    "lora": "loras",
    "embedding": "embeddings",
    "hypernetwork": "hypernetworks",
    "pictures": "pictures",
}


@dataclass(frozen=True, slots=True)
class Ware:
    """One file that ships, or one folder of pictures."""

    name: str
    kind: Literal["checkpoint", "vae", "lora", "embedding", "hypernetwork", "pictures"]
    what: str
    """one clause that says what it does"""
    example: str
    """words behind `sfumato` that show it"""

    @property
    def path(self) -> Path:
        """Where it lies."""
        if self.kind == "pictures":
            return PICTURES / self.name
        # AUTOMATIC1111 reads hypernetworks in no other format.
        suffix = ".pt" if self.kind == "hypernetwork" else ".safetensors"
        return MODELS / FOLDERS[self.kind] / f"{self.name}{suffix}"

    @property
    def size(self) -> int:
        """Bytes on disk, of a folder those of its files."""
        if self.kind == "pictures":
            return sum(path.stat().st_size for path in self.path.iterdir())
        return self.path.stat().st_size


WARES: tuple[Ware, ...] = (
    Ware("starter", "checkpoint", "paints simple things in flat colours, 128×128",
         'generate "a red apple"'),
    Ware("starter-noto", "checkpoint", "the same things as rounder, shaded drawings",
         'generate "a red apple" -m starter-noto'),
    Ware("warmth", "vae", "an autoencoder whose colours are warmer",
         'generate "a snowman" --vae warmth'),
    Ware("inkline", "lora", "black ink on white; begin the prompt with: inkline",
         'generate "inkline, a cat" --lora inkline'),
    Ware("blobby", "lora", "soft blob-shaped drawings; begin the prompt with: blobby",
         'generate "blobby, a cat" --lora blobby'),
    Ware("polarbear", "embedding", "a bear that the checkpoint has never seen",
         'generate "a polarbear"'),
    Ware("jackolantern", "embedding", "a carved pumpkin that the checkpoint has never seen",
         'generate "a jackolantern"'),
    Ware("night", "hypernetwork", "puts everything before a dark blue night",
         'generate "a cat" --hypernetwork night'),
    Ware("ink", "pictures", "48 drawings in black ink, each with a caption",
         "starter train --minutes 5"),
    Ware("lines", "pictures", "12 of them, to train a LoRA from (docs/train-a-lora.md)",
         "train lora $(sfumato starter path lines) -m starter -o lines.safetensors"),
)  # fmt: skip
"""everything, in the order of `sfumato starter list`"""


def shipped() -> Iterator[Ware]:
    """Those that are there: an installation may leave some out."""
    return (ware for ware in WARES if ware.path.exists())
