"""TAESD, the small stand-in for a VAE, with the names of the original checkpoints."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sfumato.catalogue.trees.tiny_vae import STAGES, TinyVAE
from sfumato.engine.networks.convolution import Conv2d, memory_format
from sfumato.engine.networks.in_place import add
from sfumato.errors import UsageError

NO_VARIANCE = -30.0
"""logarithm of the variance of latents that are certain, as LDM clamps it"""


class Clamp(nn.Module):
    """Keeps latents within ±3, smoothly."""

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) → the same."""
        return torch.tanh(x / 3) * 3


class Block(nn.Module):
    """Three convolutions beside an identity; `pool` looks at the whole picture's groups (TAEF2)."""

    def __init__(self, width: int, *, pooled: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            Conv2d(width, width), nn.ReLU(), Conv2d(width, width), nn.ReLU(), Conv2d(width, width)
        )
        self.pool = _pool(width) if pooled else None

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) → the same."""
        if self.pool is not None:
            x = x + self.pool(x)
        return functional.relu(add(self.conv(x), x))


def _pool(width: int) -> nn.Sequential:
    wide = 4 * width
    first, last = Conv2d(width, wide, 1, bias=False), Conv2d(wide, width, 1, bias=False)
    return nn.Sequential(first, nn.GroupNorm(4, wide), nn.ReLU(), last)


def _encoder(sizes: TinyVAE) -> nn.Sequential:
    width = sizes.width
    layers: list[nn.Module] = [Conv2d(3, width), Block(width)]
    for stage in range(1, STAGES):
        pooled = sizes.pooled and stage == STAGES - 1
        layers.append(Conv2d(width, width, stride=2, bias=False))
        layers += [Block(width, pooled=pooled) for _ in range(3)]
    return nn.Sequential(*layers, Conv2d(width, sizes.latent))


def _decoder(sizes: TinyVAE) -> nn.Sequential:
    width = sizes.width
    layers: list[nn.Module] = [Clamp(), Conv2d(sizes.latent, width), nn.ReLU()]
    for stage in range(1, STAGES):
        layers += [Block(width, pooled=sizes.pooled and stage == 1) for _ in range(3)]
        layers += [nn.Upsample(scale_factor=2), Conv2d(width, width, bias=False)]
    return nn.Sequential(*layers, Block(width), Conv2d(width, 3))


class TinyAutoencoder(nn.Module):
    """TAESD of any `sizes`: its latents are the UNet's own, already scaled."""

    def __init__(self, sizes: TinyVAE) -> None:
        super().__init__()
        self.sizes = sizes
        if sizes.encoder:
            self.encoder = _encoder(sizes)
        if sizes.decoder:
            self.decoder = _decoder(sizes)

    def moments(self, pictures: Tensor) -> Tensor:
        """The latents and, for want of a variance, NO_VARIANCE: (b, 2 · latent, h, w)."""
        mean = self.encode(pictures)
        return torch.cat([mean, torch.full_like(mean, NO_VARIANCE)], dim=1)

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents (b, latent, h, w), as the UNet takes them, of (b, 3, H, W) in [-1, 1].

        Raises UsageError for the half that decodes.
        """
        if not self.sizes.encoder:
            raise UsageError("this TAESD has only a decoder: it cannot encode pictures")
        x = ((pictures + 1) / 2).contiguous(memory_format=memory_format(pictures.device))
        return self.encoder(x).contiguous()

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (b, 3, H, W), not clamped, of latents (b, latent, h, w) as the UNet has them.

        Raises UsageError for the half that encodes.
        """
        if not self.sizes.decoder:
            raise UsageError("this TAESD has only an encoder: it cannot decode latents")
        z = latents.contiguous(memory_format=memory_format(latents.device))
        return (self.decoder(z) * 2 - 1).contiguous()
