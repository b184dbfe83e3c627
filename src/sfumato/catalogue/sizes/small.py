"""Sizes of the smaller networks read off the shapes of their tensors."""

from __future__ import annotations

from dataclasses import replace

from sfumato.catalogue.sizes.hyperparameters import (
    axis,
    count,
    read_unet,
    read_unet_diffusers,
)
from sfumato.catalogue.trees.control import Adapter, ControlNet
from sfumato.catalogue.trees.shapes import Shapes
from sfumato.catalogue.trees.tiny_vae import ApproxVAE, TinyVAE
from sfumato.catalogue.trees.unet import UNet


def read_control(shapes: Shapes) -> ControlNet | None:
    """Sizes of a ControlNet in the original spelling."""
    unet = read_unet(shapes)
    hint = axis(shapes.get("input_hint_block.0.weight"), 1, 4)
    return None if unet is None else ControlNet(_mirrored(unet), hint)


def read_control_diffusers(shapes: Shapes) -> ControlNet | None:
    """Sizes of a ControlNet in the spelling of diffusers."""
    unet = read_unet_diffusers(shapes)
    hint = axis(shapes.get("controlnet_cond_embedding.conv_in.weight"), 1, 4)
    return None if unet is None else ControlNet(_mirrored(unet), hint)


def _mirrored(unet: UNet) -> UNet:
    """The whole UNet of which a ControlNet has one half: what went down goes up again."""
    last = unet.depths[unet.blocks - 1 :: unet.blocks]
    rises = tuple(depth for depth in reversed(last) for _ in range(unet.blocks + 1))
    return replace(unet, rises=rises, outputs=4)


def read_adapter(shapes: Shapes) -> Adapter | None:
    """Sizes of a T2I-Adapter in the original spelling."""
    return _read_adapter(shapes, "conv_in.weight", "body.{}.block1.weight", 1)


def read_adapter_diffusers(shapes: Shapes) -> Adapter | None:
    """Sizes of a T2I-Adapter in the spelling of diffusers."""
    first = "adapter.conv_in.weight"
    blocks = count(lambda i: f"adapter.body.0.resnets.{i}.block1.weight" in shapes)
    return _read_adapter(shapes, first, "adapter.body.{}.resnets.0.block1.weight", 0, blocks)


def _read_adapter(
    shapes: Shapes, first: str, block: str, flat: int, blocks: int = 2
) -> Adapter | None:
    """`flat`: 1 where the blocks of all levels are counted through."""
    levels = count(lambda i: block.format(i) in shapes)
    widths = [axis(shapes.get(block.format(level)), 0, 4) for level in range(levels)]
    if not widths or not axis(shapes.get(first), 1, 4) or levels * blocks > len(shapes):
        return None
    return Adapter(axis(shapes.get(first), 1, 4), tuple(widths[:: blocks if flat else 1]), blocks)


def read_tiny(shapes: Shapes) -> TinyVAE | None:
    """Sizes of the original TAESD with both halves in one file."""
    return _read_tiny(shapes, "encoder.0.weight", "encoder.14.weight", "decoder.1.weight")


def read_tiny_diffusers(shapes: Shapes) -> TinyVAE | None:
    """Sizes of diffusers' AutoencoderTiny."""
    first, last = "encoder.layers.0.weight", "encoder.layers.14.weight"
    return _read_tiny(shapes, first, last, "decoder.layers.0.weight")


def _read_tiny(shapes: Shapes, first: str, last: str, back: str) -> TinyVAE | None:
    encoder, decoder = axis(shapes.get(first), 0, 4), axis(shapes.get(back), 0, 4)
    latent = axis(shapes.get(back), 1, 4) or axis(shapes.get(last), 0, 4)
    if not latent or not (encoder or decoder):
        return None
    pooled = any(".pool." in name for name in shapes)
    return TinyVAE(latent, encoder or decoder, bool(encoder), bool(decoder), pooled)


def read_tiny_half(shapes: Shapes) -> TinyVAE | None:
    """Sizes of one half of TAESD in a file of its own."""
    pooled = "3.pool.0.weight" in shapes or "12.pool.0.weight" in shapes
    if width := axis(shapes.get("0.weight"), 0, 4):
        latent = axis(shapes.get("14.weight"), 0, 4)
        return TinyVAE(latent, width, decoder=False, pooled=pooled)
    first = shapes.get("1.weight")
    if not axis(first, 0, 4):
        return None
    return TinyVAE(axis(first, 1, 4), axis(first, 0, 4), encoder=False, pooled=pooled)


def read_approx(shapes: Shapes) -> ApproxVAE | None:
    """Sizes of VAE-approx."""
    latent = axis(shapes.get("conv1.weight"), 1, 4)
    return ApproxVAE(latent) if latent else None
