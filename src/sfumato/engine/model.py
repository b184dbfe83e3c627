"""A checkpoint made ready to paint: its networks, and the file's own tensors behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from sfumato.engine.native import native_side

if TYPE_CHECKING:
    import torch
    from torch import nn

    from sfumato.catalogue.trees.text import Text
    from sfumato.catalogue.trees.unet import UNet
    from sfumato.containers.model_file import ModelFile
    from sfumato.containers.tensor import Tensor
    from sfumato.engine.networks.unet import UNetModel
    from sfumato.operations.adapters.target import Target

Family = Literal["sd1", "sd2", "sdxl", "sdxl-refiner"]


class Trained(Protocol):
    """What a model was trained for: known from its headers, before a weight is read."""

    @property
    def family(self) -> Family:
        """SD 1.x, SD 2.x, SDXL or its refiner."""
        ...

    @property
    def prediction(self) -> Literal["epsilon", "v"]:
        """What the UNet gives."""
        ...

    @property
    def zero_snr(self) -> bool:
        """Whether its noise begins where nothing of the picture is left."""
        ...

    @property
    def side(self) -> int:
        """Pixels along a side of the pictures that it was made for."""
        ...


class Autoencoder(Protocol):
    """A network between pictures (b, 3, 8h, 8w) in [-1, 1] and raw latents (b, 4, h, w)."""

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Mean of the latents; not scaled by the family's factor, but for TAESD."""
        ...

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures, not clamped."""
        ...


class TextEncoder(Protocol):
    """A CLIP text encoder, in either spelling."""

    sizes: Text

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Rows of the token table for ids (b, 77): (b, 77, width), before positions are added."""
        ...

    def hidden(self, embedded: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """States (b, 77, width): what enters the first layer, then after each layer."""
        ...

    def norm(self, state: torch.Tensor) -> torch.Tensor:
        """The final LayerNorm."""
        ...

    def pool(self, state: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """The last state, normed, at the end of the text, projected where a projection is."""
        ...


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the networks are and in what precision: decided once, at the edge."""

    device: torch.device
    dtype: torch.dtype
    """of the UNet and the text encoders"""
    vae_dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Network:
    """One network of a loaded model."""

    role: Literal["unet", "text_encoder", "text_encoder_2", "vae"]
    prefix: str
    """what its keys begin with in `Model.tensors`: `model.diffusion_model.` …"""
    module: nn.Module
    """its `state_dict` has the same keys without the prefix"""
    sizes: object
    """the catalogue's sizes: `UNet`, `Text`, `VAE`, `TinyVAE`"""
    source: Path | None = None
    """the file it was read from where that is not the model's own: a VAE chosen in its place"""


@dataclass(slots=True)
class Model:
    """A checkpoint ready to paint."""

    path: Path
    file: ModelFile
    """kept open, so that weights can be read again"""
    tensors: Mapping[str, Tensor]
    """every tensor of the networks in the original spelling, not read: the file's own bytes"""
    family: Family
    variant: str
    """inpainting | ip2p | … ; empty for the plain model"""
    prediction: Literal["epsilon", "v"]
    zero_snr: bool
    networks: tuple[Network, ...]
    placement: Placement
    scale: float
    """latents that the UNet sees are the VAE's, less `shift`, times this"""
    shift: float = 0.0
    notes: tuple[str, ...] = ()
    """what a user should know about how it was loaded, one sentence each"""
    weights: Literal["live", "ema"] = "live"
    """the trained ones, or their running average"""

    @property
    def side(self) -> int:
        """Pixels along a side of the pictures that it was made for."""
        return native_side(self.family, self.prediction, self.file.metadata)

    @property
    def unet(self) -> UNetModel:
        """The denoising network."""
        return next(n.module for n in self.networks if n.role == "unet")  # pyright: ignore

    @property
    def unet_sizes(self) -> UNet:
        """Its sizes."""
        return self.unet.sizes

    @property
    def encoders(self) -> tuple[TextEncoder, ...]:
        """The text encoders: one, or SDXL's two."""
        return tuple(n.module for n in self.networks if n.role.startswith("text"))  # pyright: ignore

    @property
    def vae(self) -> Autoencoder:
        """The VAE that came with the checkpoint, or the one chosen in its place."""
        return next(n.module for n in self.networks if n.role == "vae")  # pyright: ignore

    def parameter(self, key: str) -> torch.Tensor | None:
        """The loaded weight under its key in the file; None where no network has it."""
        for network in self.networks:
            if key.startswith(network.prefix):
                module_path, _, name = key[len(network.prefix) :].rpartition(".")
                try:
                    found = network.module.get_submodule(module_path)
                except AttributeError:
                    continue
                weight = found._parameters.get(name)  # pyright: ignore
                if weight is not None:
                    return weight
        return None

    @property
    def target(self) -> Target:
        """The model as adapters see it."""
        from sfumato.operations.adapters.target import Body, Target

        tensors = self.tensors
        bodies = (
            Body(n.role, n.prefix, n.sizes, f"{n.prefix}positional_embedding" in tensors)
            for n in self.networks
        )
        return Target(self.path, self.family, tensors, tuple(bodies))

    def close(self) -> None:
        """Close the file and let go of the weights."""
        self.networks = ()
        self.file.close()
