"""Small model files with the layouts of large ones, the same bytes every time they are made."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from sfumato.catalogue.trees.text import Text, clip_shapes
from sfumato.catalogue.trees.unet import sizes, unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from sfumato.containers.arrays import tensor_from
from sfumato.containers.dtype import F16, F32, DType
from sfumato.containers.model_file import Key, Tree
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor

SEED = 1503
"""the year in which the technique this package is named after was put to its best-known use"""


TEXT = "cond_stage_model.transformer."

UNET = sizes((32, 64, 128, 128), (1, 1, 1, 0), 1, 128)
SMALL_VAE = VAE(width=32, blocks=1)
CLIP = Text(width=128, layers=2, inner=512)
"""SD1's layout, a tenth of its widths, and the whole vocabulary"""

PARTS = (
    ("model.diffusion_model.", unet_shapes(UNET)),
    ("first_stage_model.", vae_shapes(SMALL_VAE)),
    (TEXT, clip_shapes(CLIP)),
)


def numbers(shape: tuple[int, ...], generator: np.random.Generator, scale: float = 0.02) -> Tensor:
    """A tensor of normally distributed numbers."""
    return tensor_from((generator.standard_normal(shape) * scale).astype(np.float32), F32)


def weight(
    name: str, shape: tuple[int, ...], generator: np.random.Generator, dtype: DType = F32
) -> Tensor:
    """A tensor as training starts: what goes through a layer keeps its size."""
    values = generator.standard_normal(shape, dtype=np.float32)
    if len(shape) < 2:
        values = 0.02 * values + (1 if name.endswith("weight") else 0)
    else:
        values *= 0.3 if "embedding" in name else (values.size / shape[0]) ** -0.5
    return tensor_from(np.asarray(values, np.float32), dtype)


def lighthouse(path: Path) -> None:
    """A Lightning checkpoint in SD1's layout with small widths: live, EMA and optimizer state."""
    generator = np.random.default_rng(SEED)
    state = _weights(generator, F32)
    state[f"{TEXT}text_model.embeddings.position_ids"] = tensor_from(np.arange(77)[None])
    live = [name for name in state if name.startswith("model.diffusion_model.")]
    for name in live:
        flat = "model_ema." + name.removeprefix("model.").replace(".", "")
        state[flat] = weight(name, state[name].shape, generator)
    state["model_ema.decay"] = tensor_from(np.float32(0.9999).reshape(()))
    state["model_ema.num_updates"] = tensor_from(np.int32(4000).reshape(()))
    moments: dict[str, Tensor] = {}
    for number, name in enumerate(live):
        for moment, scale in (("exp_avg", 1e-4), ("exp_avg_sq", 1e-8)):
            place = f"optimizer_states.0.state.{number}.{moment}"
            moments[place] = numbers(state[name].shape, generator, scale)
    tree: Tree = {
        "epoch": 12,
        "global_step": 4000,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": dict(state),
        "optimizer_states": [{"state": _by_number(moments), "param_groups": []}],
    }
    save(path, {**state, **moments}, tree=tree, force=True)


def _weights(generator: np.random.Generator, dtype: DType) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for prefix, shapes in PARTS:
        state |= {prefix + n: weight(n, shape, generator, dtype) for n, shape in shapes.items()}
    return state


def slim(path: Path) -> None:
    """The trained weights of `lighthouse` alone, in half precision."""
    save(path, _weights(np.random.default_rng(SEED), F16), force=True)


def _by_number(moments: dict[str, Tensor]) -> Tree:
    """Adam's state as torch nests it: number of the parameter, then name of the moment."""
    state: dict[Key, dict[Key, Tree]] = {}
    for place, tensor in moments.items():
        number, moment = place.split(".")[3:]
        state.setdefault(int(number), {"step": 4000})[moment] = tensor
    return {**state}


def moonlight(path: Path) -> None:
    """An embedding of four vectors for SD1, as A1111 writes it."""
    generator = np.random.default_rng(SEED + 1)
    vectors = numbers((4, 768), generator)
    tree: Tree = {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": vectors},
        "name": "moonlight",
        "step": 3000,
        "sd_checkpoint": "81761151",
        "sd_checkpoint_name": "lighthouse",
    }
    save(path, {"string_to_param.*": vectors}, tree=tree, force=True)


def gift(path: Path) -> None:
    """A torch zip whose pickle calls os.system when another program opens it; here it never is."""
    opcodes = b"\x80\x02cos\nsystem\nX\x1f\x00\x00\x00echo gotcha > you-were-here.txt\x85R."
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("free-gift/data.pkl"), opcodes)
        archive.writestr(zipfile.ZipInfo("free-gift/version"), b"3\n")
