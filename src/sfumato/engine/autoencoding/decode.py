"""Latents to pictures and back, in a precision that cannot give NaN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sfumato.catalogue.trees.tiny_vae import TinyVAE
from sfumato.containers.text import escape
from sfumato.engine.autoencoding.load import vae_network
from sfumato.engine.autoencoding.room import is_large
from sfumato.engine.autoencoding.tiles import Tiles, in_tiles
from sfumato.errors import Damaged, SfumatoError, UsageError
from sfumato.operations.vae_file import factor

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.engine.model import Autoencoder, Model, Network

Pixels = NDArray[np.uint8]
"""a picture, (h, w, 3)"""

Note = Callable[[str], None]
"""called with a sentence that the user should read"""

TILES = Tiles()


def silent(sentence: str) -> None:
    """Nobody reads it."""


@torch.no_grad()
def decode(
    model: Model, latents: Tensor, *, tiled: bool | None = None, note: Note = silent
) -> list[Pixels]:
    """Pictures, uint8 (8h, 8w, 3), of latents (b, 4, h, w) as the UNet has them, one by one.

    Values are cut off to whole levels, not rounded, as A1111 does. tiled: work in tiles or do not;
    None leaves it to the memory there is. Where a precision gives NaN the VAE goes to float32, for
    good, and `note` is told. Raises SfumatoError where the latents, or the pictures even in
    float32, hold NaN.
    """
    network = vae_network(model)
    scale, shift = scaling(model)
    pictures = list[Pixels]()
    for number, latent in enumerate(latents.float()):
        if not bool(torch.isfinite(latent).all()):
            raise SfumatoError(
                f"latent {number + 1} of {len(latents)} holds NaN or infinite numbers: the UNet of "
                f"{escape(str(model.path))} gave them in {_name(model.placement.dtype)}"
            )
        raw = (latent / scale + shift)[None]
        pictures.append(levels(_decoded(network, raw, tiled, note)[0]))
    return pictures


@torch.no_grad()
def encode(
    model: Model, pictures: Tensor, *, tiled: bool | None = None, note: Note = silent
) -> Tensor:
    """Latents (b, 4, h, w), float32, as the UNet takes them, of pictures (b, 3, 8h, 8w) in [-1, 1].

    The mean of the latents is taken. A1111 draws around it, from a generator that no seed governs,
    so that it cannot repeat its own pictures; the spread of these VAEs is far below the noise.
    Raises UsageError for sizes that are no multiple of the VAE's factor, and what `decode` raises.
    """
    network = vae_network(model)
    by = factor(network.sizes)
    if pictures.shape[2] % by or pictures.shape[3] % by:
        raise UsageError(
            f"a picture of {pictures.shape[3]}×{pictures.shape[2]} cannot be encoded: its sides "
            f"must be multiples of {by}"
        )
    scale, shift = scaling(model)
    means = [_encoded(network, picture[None].float(), tiled, note) for picture in pictures]
    return (torch.cat(means) - shift) * scale


def as_tensor(pictures: Sequence[Pixels]) -> Tensor:
    """uint8 pictures (h, w, 3) of one size as `encode` takes them: float32 (b, 3, h, w)."""
    stacked = torch.from_numpy(np.stack(pictures).astype(np.float32))  # pyright: ignore[reportUnknownMemberType]
    return stacked.permute(0, 3, 1, 2) / 255 * 2 - 1


def levels(picture: Tensor) -> Pixels:
    """uint8 (h, w, 3) of a picture (3, h, w) in [-1, 1], cut off to whole levels."""
    scaled = ((picture.float() + 1) / 2).clamp(0, 1) * 255
    return scaled.permute(1, 2, 0).cpu().numpy().astype(np.uint8)


def scaling(model: Model) -> tuple[float, float]:
    """Factor and shift between the latents of the VAE at work and the UNet's."""
    tiny = isinstance(vae_network(model).sizes, TinyVAE)
    return (1.0, 0.0) if tiny else (model.scale, model.shift)


def _decoded(network: Network, raw: Tensor, tiled: bool | None, note: Note) -> Tensor:
    vae: Autoencoder = network.module  # pyright: ignore[reportAssignmentType]
    by = factor(network.sizes)
    pixels = raw.shape[2] * raw.shape[3] * by * by

    def work(whole: bool) -> Tensor:
        placed = _placed(network, raw)
        if whole:
            return vae.decode(placed)
        return in_tiles(vae.decode, placed, _tiles(network), out=by)

    return _safely(network, work, _whole(network, pixels, tiled, note), note)


def _encoded(network: Network, picture: Tensor, tiled: bool | None, note: Note) -> Tensor:
    vae: Autoencoder = network.module  # pyright: ignore[reportAssignmentType]
    pixels = picture.shape[2] * picture.shape[3]

    def work(whole: bool) -> Tensor:
        placed = _placed(network, picture)
        if whole:
            return vae.encode(placed)
        return in_tiles(vae.encode, placed, _tiles(network), into=factor(network.sizes))

    return _safely(network, work, _whole(network, pixels, tiled, note), note)


def _whole(network: Network, pixels: int, tiled: bool | None, note: Note) -> bool:
    """True where the picture is worked on in one piece."""
    if tiled is not None:
        return not tiled
    weight = _first(network)
    if not is_large(network.sizes, pixels, weight.element_size(), weight.device):
        return True
    note(f"a picture of {pixels / 1e6:.1f} megapixels went through the VAE in tiles to save memory")
    return False


def _safely(network: Network, work: Callable[[bool], Tensor], whole: bool, note: Note) -> Tensor:
    """The work's result as finite float32; in smaller pieces and in float32 where it must be."""
    try:
        result = work(whole).float()
    except torch.OutOfMemoryError:
        if not whole:
            raise
        note("the device's memory was too small for the VAE: the picture was made in tiles")
        return _safely(network, work, False, note)
    if bool(torch.isfinite(result).all()):
        return result
    before = _first(network).dtype
    if before == torch.float32:
        raise _hopeless(network)
    with torch.inference_mode(False):  # weights made inside could not be changed outside
        network.module.float()
    note(f"the VAE gave NaN in {_name(before)} and works in fp32 from here on")
    return _safely(network, work, whole, note)


def _hopeless(network: Network) -> SfumatoError:
    """Name the weight that is to blame, or at least the VAE."""
    for name, weight in network.module.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            return Damaged(network.source or "the VAE", f"{name} holds NaN or infinite numbers")
    source = escape(str(network.source)) if network.source is not None else "of the checkpoint"
    return SfumatoError(f"the VAE {source} gives NaN even in fp32")


def _placed(network: Network, x: Tensor) -> Tensor:
    weight = _first(network)
    return x.to(weight.device, weight.dtype)


def _first(network: Network) -> Tensor:
    return next(network.module.parameters())


def _tiles(network: Network) -> Tiles:
    wraps = any(
        layer.padding_mode == "circular"
        for layer in network.module.modules()
        if isinstance(layer, nn.Conv2d)
    )
    return Tiles(TILES.size, TILES.overlap, wrapped=wraps)


def _name(dtype: torch.dtype) -> str:
    short = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32"}
    return short.get(dtype, str(dtype))
