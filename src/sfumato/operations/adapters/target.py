"""What LoRAs can be placed on: the networks of a model by their sizes, loaded or in a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sfumato.catalogue.trees.shapes import Shape
from sfumato.containers.tensor import Tensors


@dataclass(frozen=True, slots=True)
class Body:
    """One network of a target."""

    role: str
    """unet | text_encoder | text_encoder_2 | vae"""
    prefix: str
    """what its keys begin with: `model.diffusion_model.` …"""
    sizes: object
    """the catalogue's sizes: `UNet`, `Text`, …; LoRAs have names for these two alone"""
    openclip: bool = False
    """True for a text encoder in OpenCLIP's spelling"""


@dataclass(frozen=True, slots=True)
class Target:
    """A model as adapters see it; no weight of it is read."""

    path: Path
    family: str
    """sd1 | sd2 | sdxl | sdxl-refiner"""
    tensors: Tensors = field(repr=False)
    """every tensor of the networks, in the original spelling"""
    networks: tuple[Body, ...]

    def shape(self, key: str) -> Shape | None:
        """The shape of a weight; None where no network has it."""
        tensor = self.tensors.get(key)
        there = tensor is not None and any(key.startswith(n.prefix) for n in self.networks)
        return tensor.shape if tensor is not None and there else None
