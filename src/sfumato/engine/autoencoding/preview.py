"""What a latent will look like, for next to nothing: while sampling is under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sfumato.catalogue.layouts import APPROX
from sfumato.catalogue.survey import survey
from sfumato.catalogue.trees.tiny_vae import TinyVAE
from sfumato.containers.open import open_model
from sfumato.containers.text import escape
from sfumato.engine.autoencoding.approx import ApproxDecoder, read_approx
from sfumato.engine.autoencoding.decode import levels, scaling
from sfumato.engine.autoencoding.load import load_vae, vae_network
from sfumato.errors import Refused
from sfumato.operations.vae_file import factor

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from sfumato.engine.model import Autoencoder, Model, Network

Colours = Callable[["Tensor"], "Tensor"]
"""one latent (4, h, w) as the UNet has it → colours (3, …) in [-1, 1]"""

SIDE = 24
"""pixels of the latents that a map is fitted to"""

PATCH = 6
"""of them, along one side, that share their colour: VAEs know pictures, not noise"""

SEED = 1234


@dataclass(frozen=True, slots=True, eq=False)
class LatentMap:
    """A colour for each pixel of a latent, as a linear function of its channels."""

    weight: Tensor
    """(4, 3)"""
    bias: Tensor
    """(3,)"""
    error: float
    """root mean square of the fit's error, of colours in [-1, 1]"""

    def __call__(self, latent: Tensor) -> Tensor:
        """Colours (3, h, w) in [-1, 1], more or less, of a latent (4, h, w)."""
        flat = latent.float().cpu().flatten(1).T @ self.weight + self.bias
        return flat.T.reshape(3, *latent.shape[1:])


@dataclass(slots=True, eq=False)
class Previews:
    """The maps of VAEs that have been seen, each fitted once and forgotten with its VAE."""

    _maps: WeakKeyDictionary[nn.Module, LatentMap] = field(
        default_factory=WeakKeyDictionary[nn.Module, LatentMap]
    )

    def of(self, model: Model) -> LatentMap:
        """The map of the VAE at work."""
        module = vae_network(model).module
        if module not in self._maps:
            self._maps[module] = fit(model)
        return self._maps[module]


@torch.no_grad()
def fit(model: Model) -> LatentMap:
    """The linear map that comes nearest to the model's VAE, by least squares.

    One small picture is decoded: patches of random colour, smoothed, with what SD latents have of
    scale and spread. Its colours are averaged over each latent pixel and fitted. Takes the time of
    one decoded picture of 192×192; `Previews` keeps the result.
    """
    network = vae_network(model)
    vae: Autoencoder = network.module  # pyright: ignore[reportAssignmentType]
    weight = next(network.module.parameters())
    scale, shift = scaling(model)
    latents = _samples(model.unet_sizes.outputs)
    raw = (latents / scale + shift).to(weight.device, weight.dtype)
    pictures = functional.avg_pool2d(vae.decode(raw).float().cpu(), factor(network.sizes))
    colours = pictures.clamp(-1, 1).permute(0, 2, 3, 1).flatten(0, 2)  # (n, 3)
    inputs = latents.permute(0, 2, 3, 1).flatten(0, 2)  # (n, 4)
    keep = torch.isfinite(colours).all(dim=1)
    if not bool(keep.any()):
        return LatentMap(torch.zeros(inputs.shape[1], 3), torch.zeros(3), float("inf"))
    return least_squares(inputs[keep], colours[keep])


def least_squares(inputs: Tensor, colours: Tensor) -> LatentMap:
    """The map from (n, c) to (n, 3) with the smallest sum of squared errors; n is not 0."""
    design = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
    found = np.linalg.lstsq(design.numpy(), colours.numpy(), rcond=None)[0]
    solution = torch.from_numpy(found.astype(np.float32))  # pyright: ignore[reportUnknownMemberType]
    error = (design @ solution - colours).square().mean().sqrt()
    return LatentMap(solution[:-1], solution[-1], float(error))


def show(latent: Tensor, to_colours: Colours) -> Image:
    """A latent (4, h, w) as a picture, one pixel for each (`LatentMap`) or eight (`tiny`)."""
    from PIL import Image

    return Image.fromarray(levels(to_colours(latent)))


def read_preview(path: Path, model: Model) -> Colours:
    """TAESD, or VAE-approx, in a map's place. Raises what `load_vae` raises, and Refused for a
    whole VAE, which is no quick look."""
    with open_model(path) as file:
        found = survey({name: tensor.shape for name, tensor in file.items()})
    if any(match.layout == APPROX.name for match in found.matches):
        return _approx(read_approx(path))
    network = load_vae(path, model)
    if not isinstance(network.sizes, TinyVAE):
        raise Refused(f"{escape(str(path))}: is a whole VAE; previews take TAESD or VAE-approx")
    if not network.sizes.decoder:
        raise Refused(f"{escape(str(path))}: has no decoder, and previews take one")
    return tiny(network)


def tiny(network: Network) -> Colours:
    """TAESD in a map's place: its latents are the UNet's own."""
    vae: Autoencoder = network.module  # pyright: ignore[reportAssignmentType]
    weight = next(network.module.parameters())

    @torch.no_grad()
    def colours(latent: Tensor) -> Tensor:
        return vae.decode(latent[None].to(weight.device, weight.dtype))[0].float().cpu()

    return colours


def _approx(module: ApproxDecoder) -> Colours:
    @torch.no_grad()
    def colours(latent: Tensor) -> Tensor:
        return module(latent[None].float().cpu())[0]

    return colours


def _samples(channels: int) -> Tensor:
    """Latents (1, c, SIDE, SIDE): smooth patches of random colour, and a little of everything."""
    generator = torch.Generator().manual_seed(SEED)
    count = -(-SIDE // PATCH)
    coarse = torch.randn(1, channels, count, count, generator=generator)
    smooth = functional.interpolate(1.5 * coarse, size=(SIDE, SIDE), mode="bilinear")
    return smooth + 0.1 * torch.randn(smooth.shape, generator=generator)
