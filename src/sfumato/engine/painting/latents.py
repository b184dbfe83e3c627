"""What a pass starts from: latents of pictures, of masks, and what inpainting models look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sfumato.engine.autoencoding.decode import Note, as_tensor, decode, encode, scaling
from sfumato.engine.pictures.geometry import flatten, resize, whole_latents
from sfumato.engine.pictures.masks import Masked, latent_mask, prepare
from sfumato.engine.pictures.upscale import Upscaler
from sfumato.errors import Refused

if TYPE_CHECKING:
    from PIL.Image import Image

    from sfumato.engine.model import Model
    from sfumato.engine.request import Init, Request

Size = tuple[int, int]
"""width and height"""


@dataclass(frozen=True, slots=True)
class Canvas:
    """What is painted over; every tensor float32 on the CPU."""

    latent: Tensor | None = None
    """(1, 4, h, w) as the UNet has it; None paints from noise alone"""
    mask: Tensor | None = None
    """(1, 1, h, w), 1 where it is painted anew; None for everywhere"""
    extra: Tensor | None = None
    """(1, c, h, w), channels that inpainting and editing models take beside the latent"""
    masked: Masked | None = None
    """how the picture is put back into the whole one"""
    shown: Image | None = None
    """the picture as it is painted over, whose colours may be kept"""


def plain_canvas(model: Model, size: Size, note: Note) -> Canvas:
    """For painting from nothing; an inpainting model is told that all of a grey picture is open."""
    if model.variant == "ip2p":
        raise Refused(
            f"{model.path}: edits pictures (InstructPix2Pix), so it needs one to start from"
        )
    if not _is_inpainting(model):
        return Canvas()
    grey = encode(model, torch.zeros(1, 3, size[1], size[0]), note=note).cpu()
    return Canvas(extra=torch.cat([torch.ones_like(grey[:, :1]), grey], dim=1))


def canvas_of(model: Model, init: Init, size: Size, note: Note) -> Canvas:
    """For painting over a picture, all of it or what a mask leaves open."""
    masked: Masked | None = None
    picture = flatten(init.image)
    if init.inpaint is not None:
        masked = prepare(picture, init.inpaint, size, init.resize)
        if masked is None:
            note("the mask is blank: the whole picture is painted over")
    picture = masked.picture if masked is not None else resize(picture, size, init.resize)
    latent = _encoded(model, picture, size, note)
    mask = None
    if masked is not None and init.inpaint is not None:
        cells = (latent.shape[3], latent.shape[2])
        cut = latent_mask(masked.mask, cells, rounded=init.inpaint.round)
        mask = torch.from_numpy(cut)[None, None]  # pyright: ignore[reportUnknownMemberType]
    extra = _extra(model, picture, masked, init, latent, note)
    return Canvas(latent, mask, extra, masked, picture)


def _encoded(model: Model, picture: Image, size: Size, note: Note) -> Tensor:
    """The latent (1, 4, h, w) of a picture; stretched where the picture has another size."""
    own = resize(picture, whole_latents(*picture.size))
    latent = encode(model, _pixels(own), note=note).cpu()
    if own.size == size:
        return latent
    by = own.size[0] // latent.shape[3]
    cells = (size[1] // by, size[0] // by)
    return functional.interpolate(latent, cells, mode="bilinear", align_corners=False)


def _pixels(picture: Image) -> Tensor:
    return as_tensor([np.asarray(picture.convert("RGB"))])


def _is_inpainting(model: Model) -> bool:
    return model.unet_sizes.inputs == 9


def _extra(
    model: Model, picture: Image, masked: Masked | None, init: Init, latent: Tensor, note: Note
) -> Tensor | None:
    """The channels beside the latent: the picture itself, or mask and what it leaves."""
    if model.variant == "ip2p":
        return edited(model, latent)
    if not _is_inpainting(model):
        return None
    weight, rounded = 1.0, True
    if init.inpaint is not None:
        weight, rounded = init.inpaint.weight, init.inpaint.round
    return open_region(
        model, picture, masked.mask if masked else None, latent, weight=weight, rounded=rounded,
        note=note,
    )  # fmt: skip


def edited(model: Model, latent: Tensor) -> Tensor:
    """What an InstructPix2Pix model takes: a picture's latent as the VAE gives it, not scaled."""
    scale, shift = scaling(model)
    return latent / scale + shift


def again(model: Model, latents: Tensor, pictures: Sequence[Image], note: Note) -> Tensor | None:
    """The channels beside the latent in a second pass, whose every picture is open as a whole.

    latents: (b, 4, h, w) that are painted over; pictures: the same decoded, where there are any.
    As in A1111 an editing model edits what the first pass made.
    """
    if not (_is_inpainting(model) or model.variant == "ip2p"):
        return None
    shown = pictures or images(model, latents, note)
    if not _is_inpainting(model):
        each = [encode(model, _pixels(picture), note=note).cpu() for picture in shown]
        return edited(model, torch.cat(each))
    each = [
        open_region(model, picture, None, latents[n : n + 1], note=note)
        for n, picture in enumerate(shown)
    ]
    return torch.cat(each)


def open_region(
    model: Model,
    picture: Image,
    mask: Image | None,
    latent: Tensor,
    *,
    weight: float = 1.0,
    rounded: bool = True,
    note: Note,
) -> Tensor:
    """What an inpainting model takes (1, 5, h, w): the mask, and a picture without what is open.

    weight: how much of what is open is taken away. Without a mask everything is open.
    """
    own = resize(picture, whole_latents(*picture.size))
    pixels = _pixels(own)
    cover = torch.ones(1, 1, own.height, own.width)
    if mask is not None:
        cut = np.asarray(resize(mask, own.size).convert("L"), np.float32) / 255
        cover = torch.from_numpy(cut)[None, None]  # pyright: ignore[reportUnknownMemberType]
        cover = cover.round() if rounded else cover
    kept = encode(model, torch.lerp(pixels, pixels * (1 - cover), weight), note=note).cpu()
    cells = (latent.shape[2], latent.shape[3])
    if kept.shape[2:] != cells:
        kept = functional.interpolate(kept, cells, mode="bilinear", align_corners=False)
    return torch.cat([functional.interpolate(cover, cells), kept], dim=1)


def fill_latent(canvas: Canvas, how: str, noise: Tensor) -> Canvas:
    """What is open, filled with noise (b, 4, h, w) or with nothing, where that is asked for."""
    if canvas.latent is None or canvas.mask is None or how not in FILLINGS:
        return canvas
    latent = canvas.latent * (1 - canvas.mask)
    if how == "latent noise":
        latent = latent + noise * canvas.mask
    return Canvas(latent, canvas.mask, canvas.extra, canvas.masked, canvas.shown)


FILLINGS = ("latent noise", "latent nothing")
"""ways to fill that work on latents"""


@dataclass(frozen=True, slots=True)
class Larger:
    """The size of a second pass."""

    covering: Size
    """pixels that the first pass is enlarged to"""
    size: Size
    """pixels of the picture: what is beyond is cut off, in equal parts on both sides"""
    asked: Size
    """pixels that were asked for, before sides became multiples of 8"""


def larger(request: Request, width: int, height: int) -> Larger:
    """The size of the second pass of a request, whose first makes width × height pixels.

    One side of `Hires.size` alone follows the aspect; of two the picture covers both and is cut.
    """
    assert request.hires is not None
    wanted, scale = request.hires.size, request.hires.scale
    if not any(wanted):
        asked = (int(width * scale), int(height * scale))
        size = whole_latents(*asked)
        return Larger(size, size, asked)
    by_width = (wanted[0], wanted[0] * height // width)
    by_height = (wanted[1] * width // height, wanted[1])
    if not all(wanted):
        asked = by_width if wanted[0] else by_height
        size = whole_latents(*asked)
        return Larger(size, size, asked)
    wide = width / height < wanted[0] / wanted[1]
    covering = whole_latents(*(by_width if wide else by_height))
    inside = whole_latents(*wanted)
    return Larger(covering, (min(inside[0], covering[0]), min(inside[1], covering[1])), wanted)


def enlarge(
    model: Model, latents: Tensor, upscaler: Upscaler, to: Larger, note: Note
) -> tuple[Tensor, list[Image]]:
    """Latents (b, 4, h, w) at the size of the second pass, and the pictures where there were any.

    Latent ways interpolate the latents; others decode, enlarge the 8-bit pictures and encode.
    """
    pictures: list[Image] = []
    if upscaler.run is None:
        cells = (to.covering[1] // 8, to.covering[0] // 8)
        made = functional.interpolate(
            latents, cells, mode=upscaler.mode, antialias=upscaler.antialias
        )
    else:
        pictures = [upscaler.run(image, to.covering) for image in images(model, latents, note)]
        made = torch.cat([encode(model, _pixels(picture), note=note).cpu() for picture in pictures])
    cells = (to.size[1] // 8, to.size[0] // 8)
    top, left = ((made.shape[d + 2] - cells[d]) // 2 for d in (0, 1))
    cut = made[:, :, top : top + cells[0], left : left + cells[1]].contiguous()
    box = (8 * left, 8 * top, 8 * left + to.size[0], 8 * top + to.size[1])
    return cut, [picture.crop(box) for picture in pictures]


def images(model: Model, latents: Tensor, note: Note) -> list[Image]:
    """RGB pictures of latents (b, 4, h, w)."""
    from PIL import Image as Images

    return [Images.fromarray(cast("object", p)) for p in decode(model, latents, note=note)]  # pyright: ignore[reportArgumentType]
