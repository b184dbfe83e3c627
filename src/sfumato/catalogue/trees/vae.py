"""The autoencoders between pictures and latents as trees of shapes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sfumato.catalogue.trees.shapes import Shapes, Tree, conv, flatten, norm, sequence


@dataclass(frozen=True, slots=True)
class VAE:
    """Sizes of a KL autoencoder."""

    width: int = 128
    """channels at full picture size"""
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    """channels of each level over `width`, the finest first; each further level halves the size"""
    blocks: int = 2
    """residual blocks per level in the encoder; one more in the decoder"""
    latent: int = 4
    """channels of the latent"""
    quant: bool = True
    """True with the 1×1 convolutions around the latent; SD3 and Flux have none"""
    encoder: bool = True
    decoder: bool = True

    @property
    def factor(self) -> int:
        """Picture pixels per latent pixel, along one side."""
        return 1 << (len(self.multipliers) - 1)


def vae(
    width: int = 128,
    multipliers: tuple[int, ...] = (1, 2, 4, 4),
    *,
    blocks: int = 2,
    latent: int = 4,
    quant: bool = True,
) -> Shapes:
    """Every key of an autoencoder and its shape, in the original spelling."""
    return vae_shapes(VAE(width, multipliers, blocks, latent, quant))


@lru_cache(maxsize=16)
def vae_shapes(vae: VAE) -> Shapes:
    """Every key of `vae` and its shape."""
    tree: dict[str, Tree] = {}
    if vae.encoder:
        tree["encoder"] = _encoder(vae)
    if vae.decoder:
        tree["decoder"] = _decoder(vae)
    if vae.quant and vae.encoder:
        tree["quant_conv"] = conv(2 * vae.latent, 2 * vae.latent, 1)
    if vae.quant and vae.decoder:
        tree["post_quant_conv"] = conv(vae.latent, vae.latent, 1)
    return flatten(tree)


def _encoder(vae: VAE) -> Tree:
    widths = [vae.width * m for m in vae.multipliers]
    levels, last = list[Tree](), vae.width
    for level, width in enumerate(widths):
        blocks = [_residual(last if i == 0 else width, width) for i in range(vae.blocks)]
        tree: dict[str, Tree] = {"block": sequence(*blocks)}
        if level < len(widths) - 1:
            tree["downsample"] = {"conv": conv(width, width)}
        levels.append(tree)
        last = width
    return {
        "conv_in": conv(3, vae.width),
        "down": sequence(*levels),
        "mid": _middle(last),
        "norm_out": norm(last),
        "conv_out": conv(last, 2 * vae.latent),
    }


def _decoder(vae: VAE) -> Tree:
    widths = [vae.width * m for m in vae.multipliers]
    levels, last = dict[str, Tree](), widths[-1]
    for level in reversed(range(len(widths))):
        width = widths[level]
        blocks = [_residual(last if i == 0 else width, width) for i in range(vae.blocks + 1)]
        tree: dict[str, Tree] = {"block": sequence(*blocks)}
        if level:
            tree["upsample"] = {"conv": conv(width, width)}
        levels[str(level)] = tree
        last = width
    return {
        "conv_in": conv(vae.latent, widths[-1]),
        "mid": _middle(widths[-1]),
        "up": levels,
        "norm_out": norm(last),
        "conv_out": conv(last, 3),
    }


def _residual(inputs: int, outputs: int) -> Tree:
    tree: dict[str, Tree] = {
        "norm1": norm(inputs),
        "conv1": conv(inputs, outputs),
        "norm2": norm(outputs),
        "conv2": conv(outputs, outputs),
    }
    return tree | ({"nin_shortcut": conv(inputs, outputs, 1)} if inputs != outputs else {})


def _middle(width: int) -> Tree:
    project = conv(width, width, 1)
    return {
        "block_1": _residual(width, width),
        "attn_1": {
            "norm": norm(width),
            **dict.fromkeys(("q", "k", "v", "proj_out"), project),
        },
        "block_2": _residual(width, width),
    }
