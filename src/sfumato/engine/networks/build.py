"""From a network's sizes to the network, without memory for its weights."""

from __future__ import annotations

import torch
from torch import nn

from sfumato.catalogue.component import Match
from sfumato.catalogue.layouts import OPENCLIP
from sfumato.catalogue.trees.text import Text
from sfumato.catalogue.trees.tiny_vae import TinyVAE
from sfumato.catalogue.trees.unet import UNet
from sfumato.catalogue.trees.vae import VAE
from sfumato.engine.networks.clip import CLIPText
from sfumato.engine.networks.openclip import OpenCLIPText
from sfumato.engine.networks.tiny_vae import TinyAutoencoder
from sfumato.engine.networks.unet import UNetModel
from sfumato.engine.networks.vae import AutoencoderKL
from sfumato.errors import UsageError


def build(network: Match | object, *, openclip: bool = False, heads: int = 0) -> nn.Module:
    """A network on the meta device, to be filled (`fill`).

    network: its catalogue sizes, or how the catalogue matched it in a file.
    openclip: spell a text encoder as OpenCLIP does; a match knows that itself.
    heads: of a UNet's attention, where they do not follow from its sizes.
    Raises UsageError for a sort of network that this program does not run.
    """
    if isinstance(network, Match):
        return build(network.sizes, openclip=network.layout == OPENCLIP.name, heads=heads)
    with torch.device("meta"):
        match network:
            case UNet():
                return UNetModel(network, heads=heads)
            case VAE():
                return AutoencoderKL(network)
            case TinyVAE():
                return TinyAutoencoder(network)
            case Text():
                return OpenCLIPText(network) if openclip else CLIPText(network)
            case _:
                raise UsageError(f"networks of the sort {type(network).__name__} are not run")
