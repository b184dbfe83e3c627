"""The KL autoencoder between pictures and latents, with the names of the original checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from sfumato.catalogue.trees.vae import VAE
from sfumato.engine.networks.attention import to_pixels, to_tokens
from sfumato.engine.networks.convolution import Conv2d, memory_format
from sfumato.engine.networks.in_place import add, silu
from sfumato.engine.networks.normalisation import norm_groups
from sfumato.engine.networks.strips import activated, activated_strips, enlarged, is_large
from sfumato.errors import UsageError

EPSILON = 1e-6
"""of every GroupNorm"""

Way = Literal["down", "stay", "up"]
"""whether the size is halved after a level's blocks, or doubled"""


class ResnetBlock(nn.Module):
    """Two convolutions (ResnetBlock of ldm's model.py, without time)."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, EPSILON)
        self.conv1 = Conv2d(inputs, outputs)
        self.norm2 = nn.GroupNorm(groups, outputs, EPSILON)
        self.conv2 = Conv2d(outputs, outputs)
        self.nin_shortcut = nn.Identity() if inputs == outputs else Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) → (b, outputs, h, w)."""
        h = activated(self.norm1, self.conv1, x)
        if not is_large(self.conv2, h.numel(), h):
            return add(self.conv2(silu(self.norm2(h))), self.nin_shortcut(x))
        for rows, part in activated_strips(self.norm2, self.conv2, h):
            h[:, :, rows] = part.add_(self.nin_shortcut(x[:, :, rows]))
        return h


class AttnBlock(nn.Module):
    """Attention of all pixels to each other, in one head."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, EPSILON)
        self.q = nn.Conv2d(width, width, 1)
        self.k = nn.Conv2d(width, width, 1)
        self.v = nn.Conv2d(width, width, 1)
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) → the same."""
        tokens = to_tokens(self.norm(x))
        q, k, v = (_linear(layer, tokens)[:, None] for layer in (self.q, self.k, self.v))
        out = _linear(self.proj_out, functional.scaled_dot_product_attention(q, k, v)[:, 0])
        return add(to_pixels(out, x), x)


def _linear(layer: nn.Conv2d, tokens: Tensor) -> Tensor:
    return functional.linear(tokens, layer.weight.flatten(1), layer.bias)


class Downsample(nn.Module):
    """A convolution that takes every other pixel; one row and column are added at the far end."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = Conv2d(width, width, stride=2, around=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) → (b, c, ⌊h/2⌋, ⌊w/2⌋)."""
        return self.conv(x)


class Upsample(nn.Module):
    """A convolution of the picture with every pixel repeated."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = Conv2d(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) → (b, c, 2h, 2w)."""
        return enlarged(self.conv, x)


class Middle(nn.Module):
    """The blocks at the latent's own size."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(width, width, groups)
        self.attn_1 = AttnBlock(width, groups)
        self.block_2 = ResnetBlock(width, width, groups)

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) → the same."""
        return self.block_2(self.attn_1(self.block_1(x)))


class Level(nn.Module):
    """The blocks of one size, and the layer that leaves for the next size."""

    def __init__(self, widths: Sequence[int], groups: int, *, way: Way = "stay") -> None:
        """widths: what enters, then what leaves each block."""
        super().__init__()
        self.block = nn.ModuleList(ResnetBlock(i, o, groups) for i, o in pairwise(widths))
        self.downsample = Downsample(widths[-1]) if way == "down" else None
        self.upsample = Upsample(widths[-1]) if way == "up" else None

    def layers(self) -> Iterator[nn.Module]:
        """The layers in the order in which they act."""
        yield from self.block
        if self.downsample is not None:
            yield self.downsample
        if self.upsample is not None:
            yield self.upsample


def through(levels: Iterable[nn.Module], x: Tensor) -> Tensor:
    """x (b, c, h, w) through all levels, of which none keeps what it was given."""
    for level in levels:
        if isinstance(level, Level):
            for layer in level.layers():
                x = layer(x)
    return x


class Encoder(nn.Module):
    """Pictures to moments of latents."""

    def __init__(self, sizes: VAE, groups: int) -> None:
        super().__init__()
        widths = [sizes.width * m for m in sizes.multipliers]
        self.conv_in = Conv2d(3, sizes.width)
        self.down = nn.ModuleList()
        last = sizes.width
        for number, width in enumerate(widths):
            way = "down" if number < len(widths) - 1 else "stay"
            self.down.append(Level([last] + [width] * sizes.blocks, groups, way=way))
            last = width
        self.mid = Middle(last, groups)
        self.norm_out = nn.GroupNorm(groups, last, EPSILON)
        self.conv_out = Conv2d(last, 2 * sizes.latent)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, H, W) → (b, 2 · latent, h, w)."""
        h = through(self.down, self.conv_in(x))
        return activated(self.norm_out, self.conv_out, self.mid(h))


class Decoder(nn.Module):
    """Latents to pictures."""

    def __init__(self, sizes: VAE, groups: int) -> None:
        super().__init__()
        widths = [sizes.width * m for m in sizes.multipliers]
        last = widths[-1]
        self.conv_in = Conv2d(sizes.latent, last)
        self.mid = Middle(last, groups)
        levels: list[Level] = []
        for number, width in reversed(list(enumerate(widths))):
            way = "up" if number else "stay"
            levels.insert(0, Level([last] + [width] * (sizes.blocks + 1), groups, way=way))
            last = width
        self.up = nn.ModuleList(levels)
        self.norm_out = nn.GroupNorm(groups, last, EPSILON)
        self.conv_out = Conv2d(last, 3)

    def forward(self, z: Tensor) -> Tensor:
        """(b, latent, h, w) → (b, 3, H, W)."""
        h = through(reversed(self.up), self.mid(self.conv_in(z)))
        return activated(self.norm_out, self.conv_out, h)


class AutoencoderKL(nn.Module):
    """A VAE of any `sizes`; one that lacks a half can do the other's work."""

    def __init__(self, sizes: VAE) -> None:
        super().__init__()
        self.sizes = sizes
        groups = norm_groups([sizes.width * m for m in (1, *sizes.multipliers)])
        if sizes.encoder:
            self.encoder = Encoder(sizes, groups)
        if sizes.decoder:
            self.decoder = Decoder(sizes, groups)
        if sizes.quant and sizes.encoder:
            self.quant_conv = Conv2d(2 * sizes.latent, 2 * sizes.latent, 1)
        if sizes.quant and sizes.decoder:
            self.post_quant_conv = Conv2d(sizes.latent, sizes.latent, 1)

    def moments(self, pictures: Tensor) -> Tensor:
        """Mean, then logarithm of the variance, of latents: (b, 2 · latent, h, w).

        pictures: (b, 3, H, W) in [-1, 1]. Raises UsageError for a VAE without an encoder.
        """
        if not self.sizes.encoder:
            raise UsageError("this VAE has only a decoder: it cannot encode pictures")
        moments = self.encoder(pictures.contiguous(memory_format=memory_format(pictures.device)))
        return (self.quant_conv(moments) if self.sizes.quant else moments).contiguous()

    def encode(self, pictures: Tensor) -> Tensor:
        """Mean of the latents (b, latent, h, w) of (b, 3, H, W) in [-1, 1], not scaled."""
        return self.moments(pictures)[:, : self.sizes.latent]

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (b, 3, H, W), not clamped, of unscaled latents (b, latent, h, w).

        Raises UsageError for a VAE without a decoder.
        """
        if not self.sizes.decoder:
            raise UsageError("this VAE has only an encoder: it cannot decode latents")
        z = latents.contiguous(memory_format=memory_format(latents.device))
        return self.decoder(self.post_quant_conv(z) if self.sizes.quant else z).contiguous()
