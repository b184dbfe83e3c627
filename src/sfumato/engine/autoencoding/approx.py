"""VAE-approx, AUTOMATIC1111's network for previews: latents to pictures of a quarter the size.

Facts: AUTOMATIC1111 modules/sd_vae_approx.py (v1.10.1).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from sfumato.catalogue.layouts import APPROX as LAYOUT
from sfumato.catalogue.survey import survey
from sfumato.catalogue.trees.tiny_vae import APPROX, ApproxVAE
from sfumato.containers.open import open_model
from sfumato.engine.networks.fill import fill
from sfumato.errors import Unsupported

if TYPE_CHECKING:
    from torch import Tensor

EDGE = sum(kernel // 2 for _, kernel in APPROX)
"""pixels that the convolutions, which pad nothing, take off each side"""

SLOPE = 0.1
"""of the leaky ReLU after every layer, the last included"""


class ApproxDecoder(nn.Module):
    """Eight convolutions over a latent enlarged to twice its size."""

    def __init__(self, sizes: ApproxVAE) -> None:
        super().__init__()
        width = sizes.latent
        for number, (out, kernel) in enumerate(APPROX, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(width, out, kernel))
            width = out

    def forward(self, latents: Tensor) -> Tensor:
        """Pictures (b, 3, 2h, 2w), not clamped, of latents (b, 4, h, w) as the UNet has them."""
        x = functional.interpolate(latents, scale_factor=2.0)
        x = functional.pad(x, (EDGE,) * 4)
        for layer in self.children():
            x = functional.leaky_relu(layer(x), SLOPE)
        return x


def read_approx(path: Path) -> ApproxDecoder:
    """Read VAE-approx, which runs on the CPU; raises Unsupported for a file that is none."""
    with open_model(path) as file:
        found = survey({name: tensor.shape for name, tensor in file.items()})
        match = next((match for match in found.matches if match.layout == LAYOUT.name), None)
        if match is None or not isinstance(match.sizes, ApproxVAE):
            raise Unsupported(path, "is no VAE-approx")
        with torch.device("meta"):
            module = ApproxDecoder(match.sizes)
        tensors = {name: file[match.prefix + name] for name in match.found}
        fill(module, tensors, device=torch.device("cpu"), dtype=torch.float32, source=path)
    return module.eval().requires_grad_(False)
