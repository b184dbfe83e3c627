"""Models of any size without a byte: tensors that fail the test when they are read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from sfumato.catalogue.averaged import averaged_name
from sfumato.catalogue.trees.text import clip_l, openclip_g, openclip_h
from sfumato.catalogue.trees.unet import SD1, SD2, SDXL, UNet, unet_shapes
from sfumato.catalogue.trees.vae import vae
from sfumato.containers.dtype import F16, F32, I32, I64, DType
from sfumato.containers.tensor import Buffer, Tensor

Shapes = Mapping[str, tuple[int, ...]]

DTYPES = {"float32": F32, "int64": I64, "int32": I32}


def refuse() -> Buffer:
    raise AssertionError("identification must not read this tensor")


def unread(shapes: Shapes, prefix: str = "", dtype: DType = F16) -> dict[str, Tensor]:
    """One tensor that cannot be read for every shape."""
    return {prefix + name: Tensor(dtype, shape, refuse) for name, shape in shapes.items()}


def golden(shared: Path, name: str, parts: Iterable[str] = ()) -> dict[str, Tensor]:
    """A published checkpoint's keys and shapes, as another tool lists them."""
    lists = json.loads((shared / "golden" / f"keys_{name}.json").read_text(encoding="utf-8"))
    return {
        key: Tensor(DTYPES[entry["dtype"]], tuple(entry["shape"]), refuse)
        for part in (parts or lists)
        for key, entry in lists[part].items()
    }


UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP, OPENCLIP = "cond_stage_model.transformer.", "cond_stage_model.model."


def sd1(unet: UNet = SD1) -> dict[str, Tensor]:
    """An SD1 checkpoint."""
    return {
        **unread(unet_shapes(unet), UNET),
        **unread(vae(), VAE),
        **unread(clip_l(), CLIP),
        CLIP + "text_model.embeddings.position_ids": Tensor(I64, (1, 77), refuse),
    }


def sd2(unet: UNet = SD2) -> dict[str, Tensor]:
    """An SD2 checkpoint."""
    return {
        **unread(unet_shapes(unet), UNET),
        **unread(vae(), VAE),
        **unread(openclip_h(), OPENCLIP),
    }


def sdxl(unet: UNet = SDXL) -> dict[str, Tensor]:
    """An SDXL checkpoint."""
    return {
        **unread(unet_shapes(unet), UNET),
        **unread(vae(), VAE),
        **unread(clip_l(), "conditioner.embedders.0.transformer."),
        **unread(openclip_g(), "conditioner.embedders.1.model."),
    }


def averages(unet: UNet = SD1) -> dict[str, Tensor]:
    """The averaged copy of a UNet, as it lies in a checkpoint."""
    copy = {averaged_name(n, "diffusion_model."): s for n, s in unet_shapes(unet).items()}
    counters = {
        "model_ema.decay": Tensor(F32, (), refuse),
        "model_ema.num_updates": Tensor(I32, (), refuse),
    }
    return {**unread(copy), **counters}


def marker() -> Tensor:
    """A tensor without numbers, that only is there."""
    return Tensor(I64, (0,), refuse)
