"""LoRA files of every kind for small models, and models without a byte to resolve names in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from unread import unread

from sfumato.catalogue.spelling.networks import Module
from sfumato.catalogue.trees.text import CLIP_H, CLIP_L, clip_shapes, openclip_shapes
from sfumato.catalogue.trees.unet import SD1, SD2, unet_shapes
from sfumato.containers.arrays import tensor_from
from sfumato.containers.dtype import F32, DType
from sfumato.containers.model_file import SAFETENSORS, ModelFile
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from sfumato.engine.model import Model, Network, Placement
from sfumato.engine.networks.build import build
from sfumato.operations.adapters.sites import Site, sites

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

RANK = 4
PREFIXES = {"unet": "lora_unet_", "text_encoder": "lora_te_", "text_encoder_2": "lora_te2_"}


def _ones(shape: Shape) -> Shape:
    return (1,) * (len(shape) - 2)


def _lora(shape: Shape) -> Shapes:
    return {
        "lora_down.weight": (RANK, *shape[1:]),
        "lora_up.weight": (shape[0], RANK, *_ones(shape)),
        "alpha": (),
    }


def _cp(shape: Shape) -> Shapes:
    return {
        "lora_down.weight": (RANK, shape[1], *_ones(shape)),
        "lora_mid.weight": (RANK, RANK, *shape[2:]),
        "lora_up.weight": (shape[0], RANK, *_ones(shape)),
    }


def _loha(shape: Shape) -> Shapes:
    inputs = int(np.prod(shape[1:]))
    halves = {f"hada_w{n}_a": (shape[0], RANK) for n in (1, 2)}
    return {**halves, **{f"hada_w{n}_b": (RANK, inputs) for n in (1, 2)}, "alpha": ()}


def _lokr(shape: Shape) -> Shapes:
    return {
        "lokr_w1": (4, 4),
        "lokr_w2_a": (shape[0] // 4, RANK),
        "lokr_w2_b": (RANK, int(np.prod(shape[1:])) // 4),
        "alpha": (),
    }


def _glora(shape: Shape) -> Shapes:
    outputs, inputs = shape[:2]
    return {
        "a1.weight": (inputs, RANK, *_ones(shape)),
        "a2.weight": (RANK, inputs, *_ones(shape)),
        "b1.weight": (outputs, RANK, *_ones(shape)),
        "b2.weight": (RANK, *shape[1:]),
        "alpha": (),
    }


def _glora_old(shape: Shape) -> Shapes:
    swapped = {"a1": "a2", "a2": "a1", "b1": "b2", "b2": "b1"}
    return {swapped.get(name[:2], name[:2]) + name[2:]: s for name, s in _glora(shape).items()}


KINDS: Mapping[str, Callable[[Shape], Shapes]] = {
    "lora": _lora,
    "cp": _cp,
    "loha": _loha,
    "lokr": _lokr,
    "ia3": lambda shape: {"weight": (shape[0],), "on_input": ()},
    "glora": _glora,
    "glora-old": _glora_old,
    "oft": lambda shape: {"oft_blocks": (shape[0] // 8, 8, 8), "alpha": ()},
    "oft-old": lambda shape: {"oft_diag": (shape[0] // 8, 8, 8)},
    "boft": lambda shape: {"oft_blocks": (2, shape[0] // 8, 8, 8), "rescale": (shape[0], 1)},
    "dora": lambda shape: {**_lora(shape), "dora_scale": (shape[0], 1, *_ones(shape))},
    "dora-loha": lambda shape: {**_loha(shape), "dora_scale": (1, shape[1], *_ones(shape))},
    "full": lambda shape: {"diff": shape},
    "full and bias": lambda shape: {"diff": shape, "diff_b": shape[:1]},
    "set": lambda shape: {"set_weight": shape},
    "norm": lambda shape: {"w_norm": shape[:1], "b_norm": shape[:1]},
}
"""kind → the tensors of a module whose weight has the given shape"""

BENDING = ("ia3", "glora", "glora-old", "oft", "oft-old", "boft", "dora", "dora-loha", "set")
"""kinds whose change depends on the weight"""


def random(name: str, shape: Shape) -> np.ndarray:
    """Numbers of a size that such a tensor has after training."""
    rng = np.random.default_rng(len(name) + sum(shape))
    values = 0.1 * rng.standard_normal(shape)
    if name.endswith("alpha"):
        return np.asarray(0.01 if "oft" in name else 2.0, np.float32)
    if name.endswith(("rescale", "dora_scale")):
        values += 1
    return np.asarray(values, np.float32)


def modules(model: Model, only: Iterable[str] = ()) -> list[tuple[Site, Module]]:
    """Layers that LoRAs change, or those whose name in diffusers' spelling has one of `only`."""
    return [
        (site, module)
        for site in sites(model.target)
        for module in site.modules
        if any(part in module.diffusers for part in (only or ("attentions", "layers")))
        and ("norm" in only or len(module.shape) > 1)
    ]


def arrays(model: Model, kind: str, only: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """A LoRA of one kind in kohya's names: whole tensors."""
    found: dict[str, np.ndarray] = {}
    for site, module in modules(model, only):
        name = PREFIXES[site.role] + module.diffusers.replace(".", "_")
        for slot, shape in KINDS[kind](module.shape).items():
            found[f"{name}.{slot}"] = random(f"{kind} {slot}", shape)
    return found


def saved(path: Path, found: Mapping[str, np.ndarray], dtype: DType = F32, **said: str) -> Path:
    """Write a LoRA file with metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, {name: tensor_from(array, dtype) for name, array in found.items()}, metadata=said)
    return path


def weights(model: Model) -> dict[str, torch.Tensor]:
    """A copy of every weight under its key."""
    return {
        network.prefix + name: weight.detach().clone()
        for network in model.networks
        for name, weight in network.module.named_parameters()
    }


def changed(model: Model, before: Mapping[str, torch.Tensor]) -> set[str]:
    """Keys of the weights that are not, bit for bit, what they were."""
    return {key for key, weight in weights(model).items() if not torch.equal(weight, before[key])}


def bodiless(tensors: Mapping[str, Tensor], path: str = "some.safetensors") -> ModelFile:
    """A file of which only names and shapes are known."""
    return ModelFile(Path(path), SAFETENSORS, tensors, 0)


def bodiless_model(family: Literal["sd1", "sd2"] = "sd1") -> Model:
    """SD1 or SD2 in its full size on the meta device."""
    unet, first = "model.diffusion_model.", family == "sd1"
    text = f"cond_stage_model.{'transformer' if first else 'model'}."
    sizes, encoder = (SD1, CLIP_L) if first else (SD2, CLIP_H)
    shapes = clip_shapes(encoder) if first else openclip_shapes(encoder)
    tensors = unread(unet_shapes(sizes), unet) | unread(shapes, text)
    cpu = torch.device("cpu")
    return Model(
        path=Path("model.safetensors"),
        file=bodiless(tensors, "model.safetensors"),
        tensors=tensors,
        family=family,
        variant="",
        prediction="epsilon",
        zero_snr=False,
        networks=(
            Network("unet", unet, build(sizes), sizes),
            Network("text_encoder", text, build(encoder, openclip=not first), encoder),
        ),
        placement=Placement(cpu, torch.float32, torch.float32),
        scale=0.18215,
    )
