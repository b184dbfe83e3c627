"""Model files for the benchmarks, generated: right layouts, no meaning in the numbers."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from sfumato.catalogue.spelling.networks import unet_modules
from sfumato.catalogue.trees.text import CLIP_L, Text, clip_shapes
from sfumato.catalogue.trees.unet import SD1, sizes, unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from sfumato.containers.dtype import F16, F32, I64, DType
from sfumato.containers.model_file import Key, Tree
from sfumato.containers.save import save
from sfumato.containers.tensor import CHUNK, Tensor

POOL = os.urandom(CHUNK)

Shapes = Mapping[str, tuple[int, ...]]


def numbers(shape: tuple[int, ...], dtype: DType = F32) -> Tensor:
    """A tensor of small random numbers: bytes of a pool, with the exponents kept small."""
    nbytes = dtype.nbytes(shape)

    def pieces() -> Iterator[bytes]:
        for start in range(0, nbytes, CHUNK):
            yield FINITE[: min(CHUNK, nbytes - start)]

    return Tensor(dtype, shape, read=lambda: b"".join(pieces()), pieces=pieces)


def _finite() -> bytes:
    import numpy as np

    pool = np.frombuffer(POOL, np.int32) % 2001 - 1000
    return (pool.astype(np.float32) / 20000).tobytes()


FINITE = _finite()


def layout() -> dict[str, tuple[int, ...]]:
    """Every key and shape of an SD1 checkpoint."""
    parts = (
        ("model.diffusion_model.", unet_shapes(SD1)),
        ("first_stage_model.", vae_shapes(VAE())),
        ("cond_stage_model.transformer.", clip_shapes(CLIP_L)),
    )
    return {prefix + name: shape for prefix, shapes in parts for name, shape in shapes.items()}


def small_layout() -> dict[str, tuple[int, ...]]:
    """Every key and shape of a checkpoint in SD1's layout with small widths."""
    unet = sizes((64, 128), (1, 1), 1, 192, blocks=1)
    parts = (
        ("model.diffusion_model.", unet_shapes(unet)),
        ("first_stage_model.", vae_shapes(VAE(32, (1, 1, 2, 4), 1))),
        ("cond_stage_model.transformer.", clip_shapes(Text(192, 4, 768))),
    )
    return {prefix + name: shape for prefix, shapes in parts for name, shape in shapes.items()}


def sd1(*, ema: bool) -> dict[str, Tensor]:
    """All tensors of an SD1 checkpoint in fp32, with the averaged UNet beside it or without."""
    shapes = layout()
    tensors = {
        name: _position_ids() if name.endswith("position_ids") else numbers(shape)
        for name, shape in shapes.items()
    }
    if ema:
        live = [name for name in shapes if name.startswith("model.diffusion_model.")]
        for name in live:
            flat = "model_ema." + name.removeprefix("model.").replace(".", "")
            tensors[flat] = numbers(shapes[name])
    return tensors


def _position_ids() -> Tensor:
    data = struct.pack("<77q", *range(77))
    return Tensor(I64, (1, 77), read=lambda: data)


def write_checkpoint(path: Path, *, ema: bool) -> None:
    """A full-size SD1 `.ckpt`: 4.3 GB, or 7.7 GB with the averaged UNet."""
    if not path.exists():
        tensors = sd1(ema=ema)
        state: dict[Key, Tree] = {**tensors}
        save(path, tensors, tree={"state_dict": state, "global_step": 470000}, verify=False)


def sparse_safetensors(path: Path, shapes: Shapes, dtype: DType = F16) -> None:
    """A safetensors file with a real header and a hole where the numbers would be."""
    header: dict[str, object] = {}
    end = 0
    for name, shape in sorted(shapes.items()):
        span = [end, end + dtype.nbytes(shape)]
        header[name] = {"dtype": dtype.name, "shape": list(shape), "data_offsets": span}
        end = span[1]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def sd1_lora_shapes(rank: int = 16) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a LoRA over the attention and feed-forward layers of SD1's UNet."""
    shapes: dict[str, tuple[int, ...]] = {}
    for module in unet_modules(SD1):
        if ".transformer_blocks." not in module.ldm or len(module.shape) != 2:
            continue
        name = "lora_unet_" + module.diffusers.replace(".", "_")
        shapes[f"{name}.lora_down.weight"] = (rank, module.shape[1])
        shapes[f"{name}.lora_up.weight"] = (module.shape[0], rank)
        shapes[f"{name}.alpha"] = ()
    return shapes


def sparse_torch_zip(path: Path, shapes: Shapes) -> None:
    """A torch zip whose data members are holes: opened by torch, by us, by Python's zipfile."""
    import torch

    tensors = {name: torch.empty(shape, dtype=torch.float16) for name, shape in shapes.items()}
    with torch.serialization.skip_data():
        torch.save({"state_dict": tensors, "global_step": 1}, path)
