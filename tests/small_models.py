"""Small checkpoints with the layouts of large ones."""

from __future__ import annotations

from sfumato.catalogue.trees.text import Text, clip_shapes
from sfumato.catalogue.trees.unet import sizes, unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from sfumato.containers.arrays import tensor_from
from sfumato.containers.dtype import F32, DType
from sfumato.containers.tensor import Tensor
from toys import random_tensors

UNET = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
TEXT = "cond_stage_model.transformer."
IDS = f"{TEXT}text_model.embeddings.position_ids"

SIZES = sizes((32, 64), (1, 0), 1, 96, blocks=1)


def sd1(dtype: DType = F32, *, ema: bool = False, optimizer: bool = False) -> dict[str, Tensor]:
    """A checkpoint in SD1's layout with small widths, in the order of its parts."""
    import numpy as np

    shapes = {
        **{UNET + name: shape for name, shape in unet_shapes(SIZES).items()},
        **{VAE_PREFIX + n: s for n, s in vae_shapes(VAE(32, (1, 2), 1)).items()},
        **{TEXT + n: s for n, s in clip_shapes(Text(96, 2, 192, vocabulary=100)).items()},
    }
    model = random_tensors(shapes, dtype)
    model[IDS] = tensor_from(np.arange(77, dtype=np.int64)[None])
    live = [name for name in shapes if name.startswith(UNET)]
    if ema:
        averages = random_tensors({average(name): shapes[name] for name in live}, dtype, seed=9000)
        model |= averages
        model["model_ema.decay"] = tensor_from(np.float32(0.9999).reshape(()))
        model["model_ema.num_updates"] = tensor_from(np.int32(10).reshape(()))
    if optimizer:
        moments = {f"optimizer_states.0.state.{i}.exp_avg": shapes[n] for i, n in enumerate(live)}
        model |= random_tensors(moments, seed=5000)
    return model


def average(name: str) -> str:
    """The name of a trained tensor's average."""
    return "model_ema." + name.removeprefix("model.").replace(".", "")
