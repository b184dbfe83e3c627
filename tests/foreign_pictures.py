"""Pictures as other programs write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sfumato.engine.pictures.exif import write_exif


def png(path: Path, texts: Mapping[str, object], image: Image.Image | None = None) -> Path:
    """A PNG with texts; what is no text is written as JSON."""
    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, value if isinstance(value, str) else json.dumps(value))
    (image or Image.new("RGB", (16, 8))).save(path, pnginfo=info)
    return path


def with_comment(path: Path, text: str) -> Path:
    """A JPEG, WebP or AVIF with a comment in its EXIF data."""
    Image.new("RGB", (16, 8)).save(path, exif=b"Exif\0\0" + write_exif(text))
    return path


def with_hidden(path: Path, mark: bytes, data: bytes) -> Path:
    """A PNG with bits in its lowest alpha bits (or, for marks with `rgb`, in its colours)."""
    bits = np.unpackbits(np.frombuffer(mark + (8 * len(data)).to_bytes(4, "big") + data, np.uint8))
    pixels = np.full((128, 128, 4), 254, np.uint8)
    down = pixels.transpose(1, 0, 2).copy()
    part = down[..., :3] if b"rgb" in mark else down[..., 3]
    flat = part.reshape(-1)
    flat[: len(bits)] |= bits
    part[...] = flat.reshape(part.shape)
    Image.fromarray(np.ascontiguousarray(down.transpose(1, 0, 2))).save(path)
    return path


def node(kind: str, **inputs: object) -> dict[str, object]:
    """A node of a ComfyUI graph."""
    return {"class_type": kind, "inputs": inputs}


GRAPH = {
    "3": node(
        "KSampler", seed=5, steps=20, cfg=8.0, sampler_name="dpmpp_2m", scheduler="karras",
        denoise=1.0, model=["10", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0],
    ),
    "4": node("CheckpointLoaderSimple", ckpt_name="sub\\v1-5.safetensors"),
    "5": node("EmptyLatentImage", width=512, height=768, batch_size=1),
    "6": node("CLIPTextEncode", text="a fox, embedding:easy.pt", clip=["11", 0]),
    "7": node("CLIPTextEncode", text="bad", clip=["11", 0]),
    "8": node("VAEDecode", samples=["3", 0], vae=["12", 0]),
    "9": node("SaveImage", images=["8", 0]),
    "10": node(
        "LoraLoader", lora_name="ink.safetensors", strength_model=0.8, strength_clip=1.0,
        model=["13", 0], clip=["4", 1],
    ),
    "11": node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["10", 1]),
    "12": node("VAELoader", vae_name="kl-f8.ckpt"),
    "13": node("LoraLoaderModelOnly", lora_name="oil.pt", strength_model=0.5, model=["4", 0]),
}  # fmt: skip
