"""The small stand-ins for a VAE as trees of shapes: TAESD in both spellings, and VAE-approx."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sfumato.catalogue.trees.shapes import Shapes, Tree, conv, flatten, norm, sequence

STAGES = 4
"""resolutions of TAESD: three halvings between picture and latent"""


@dataclass(frozen=True, slots=True)
class TinyVAE:
    """Sizes of TAESD."""

    latent: int = 4
    width: int = 64
    encoder: bool = True
    decoder: bool = True
    pooled: bool = False
    """True where the three blocks at the latent's size look at the whole picture (TAEF2)"""


def _block(width: int) -> Tree:
    layer = conv(width, width)
    return {"conv": sequence(layer, None, layer, None, layer)}


def _pooled(tiny: TinyVAE) -> Tree:
    block, wide = _block(tiny.width), 4 * tiny.width
    if not tiny.pooled:
        return block
    pool = sequence(
        conv(tiny.width, wide, 1, bias=False),
        norm(wide),
        None,
        conv(wide, tiny.width, 1, bias=False),
    )
    return {**block, "pool": pool}


def _encoder(tiny: TinyVAE) -> list[Tree | None]:
    block = _block(tiny.width)
    layers: list[Tree | None] = [conv(3, tiny.width), block]
    for stage in range(1, STAGES):
        inner = _pooled(tiny) if stage == STAGES - 1 else block
        layers += [conv(tiny.width, tiny.width, bias=False), inner, inner, inner]
    return [*layers, conv(tiny.width, tiny.latent)]


def _decoder(tiny: TinyVAE) -> list[Tree | None]:
    """The layers after the clamp that the original counts as number 0."""
    block = _block(tiny.width)
    layers: list[Tree | None] = [conv(tiny.latent, tiny.width), None]
    for stage in range(1, STAGES):
        inner = _pooled(tiny) if stage == 1 else block
        layers += [inner, inner, inner, None, conv(tiny.width, tiny.width, bias=False)]
    return [*layers, block, conv(tiny.width, 3)]


@lru_cache(maxsize=8)
def tiny_shapes(tiny: TinyVAE) -> Shapes:
    """Keys of the original TAESD where both halves are in one file, as `encoder.`, `decoder.`."""
    tree: dict[str, Tree] = {}
    if tiny.encoder:
        tree["encoder"] = sequence(*_encoder(tiny))
    if tiny.decoder:
        tree["decoder"] = sequence(None, *_decoder(tiny))
    return flatten(tree)


@lru_cache(maxsize=8)
def tiny_half_shapes(tiny: TinyVAE) -> Shapes:
    """Keys of the original TAESD where one half is a file of its own (taesd_decoder.pth)."""
    return flatten(sequence(*_encoder(tiny)) if tiny.encoder else sequence(None, *_decoder(tiny)))


@lru_cache(maxsize=8)
def tiny_diffusers_shapes(tiny: TinyVAE) -> Shapes:
    """Keys of diffusers' AutoencoderTiny, which does not count the clamp."""
    tree: dict[str, Tree] = {}
    if tiny.encoder:
        tree["encoder"] = {"layers": sequence(*_encoder(tiny))}
    if tiny.decoder:
        tree["decoder"] = {"layers": sequence(*_decoder(tiny))}
    return flatten(tree)


@dataclass(frozen=True, slots=True)
class ApproxVAE:
    """Sizes of AUTOMATIC1111's VAE-approx: latents to a small picture in eight layers."""

    latent: int = 4


APPROX: tuple[tuple[int, int], ...] = (
    (8, 7), (16, 5), (32, 3), (64, 3), (32, 3), (16, 3), (8, 3), (3, 3),
)  # fmt: skip
"""channels and kernel of each convolution"""


@lru_cache(maxsize=4)
def approx_shapes(approx: ApproxVAE) -> Shapes:
    """Keys of VAE-approx."""
    tree: dict[str, Tree] = {}
    width = approx.latent
    for number, (out, kernel) in enumerate(APPROX, start=1):
        tree[f"conv{number}"] = conv(width, out, kernel)
        width = out
    return flatten(tree)
