"""The published models that LoRA files are for: their networks by sizes, without a byte of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sfumato.catalogue.trees.shapes import Shapes
from sfumato.catalogue.trees.text import CLIP_G, CLIP_H, CLIP_L, Text, clip_shapes, openclip_shapes
from sfumato.catalogue.trees.unet import REFINER, SD1, SD2, SDXL, UNet, unet_shapes
from sfumato.containers.dtype import F32
from sfumato.containers.tensor import Buffer, Tensor
from sfumato.operations.adapters.target import Body, Target

UNET = "model.diffusion_model."

NETWORKS: Mapping[str, tuple[Body, ...]] = {
    "sd1": (
        Body("unet", UNET, SD1),
        Body("text_encoder", "cond_stage_model.transformer.", CLIP_L),
    ),
    "sd2": (
        Body("unet", UNET, SD2),
        Body("text_encoder", "cond_stage_model.model.", CLIP_H, openclip=True),
    ),
    "sdxl": (
        Body("unet", UNET, SDXL),
        Body("text_encoder", "conditioner.embedders.0.transformer.", CLIP_L),
        Body("text_encoder_2", "conditioner.embedders.1.model.", CLIP_G, openclip=True),
    ),
    "sdxl-refiner": (
        Body("unet", UNET, REFINER),
        Body("text_encoder_2", "conditioner.embedders.0.model.", CLIP_G, openclip=True),
    ),
}
"""family → the networks that its LoRAs change"""


def family_target(family: str) -> Target:
    """The published model of a family as LoRAs see it; KeyError for a family without one."""
    networks = NETWORKS[family]
    tensors = {
        body.prefix + name: Tensor(F32, shape, _unread)
        for body in networks
        for name, shape in _shapes(body).items()
    }
    return Target(Path(family), family, tensors, networks)


def _shapes(body: Body) -> Shapes:
    if isinstance(body.sizes, UNet):
        return unet_shapes(body.sizes)
    assert isinstance(body.sizes, Text)
    return openclip_shapes(body.sizes) if body.openclip else clip_shapes(body.sizes)


def _unread() -> Buffer:
    raise AssertionError("a family has no weights")
