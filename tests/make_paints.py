"""Small files that change how the demo's checkpoint paints, in the layouts people share them in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from make_models import CLIP, SEED, SMALL_VAE, UNET, numbers, weight
from sfumato.catalogue.spelling.networks import Module, unet_modules
from sfumato.catalogue.spelling.texts import clip_modules
from sfumato.catalogue.trees.vae import vae_shapes
from sfumato.containers.arrays import tensor_from
from sfumato.containers.dtype import F16
from sfumato.containers.model_file import Key, Tree
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor

RANK = 4


def ink(path: Path) -> None:
    """A LoRA as kohya's trainer writes it, on every attention of the UNet and the text encoder."""
    generator = np.random.default_rng(SEED + 2)
    networks = (("lora_unet_", unet_modules(UNET)), ("lora_te_", clip_modules(CLIP)))
    tensors: dict[str, Tensor] = {}
    for prefix, modules in networks:
        for module in filter(_is_trained, modules):
            name = prefix + module.diffusers.replace(".", "_")
            out, inner = module.shape[:2]
            tensors[f"{name}.lora_down.weight"] = numbers((RANK, inner), generator, inner**-0.5)
            tensors[f"{name}.lora_up.weight"] = numbers((out, RANK), generator, 0.05)
            tensors[f"{name}.alpha"] = tensor_from(np.float32(RANK).reshape(()))
    metadata = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(RANK),
        "ss_network_alpha": str(float(RANK)),
        "ss_output_name": "ink",
    }
    save(path, tensors, metadata, force=True)


def _is_trained(module: Module) -> bool:
    """True for the projections that kohya's trainer reaches without being asked for more."""
    return len(module.shape) == 2 and (
        "transformer_blocks" in module.diffusers or "encoder.layers" in module.diffusers
    )


def moonglade(path: Path) -> None:
    """An embedding of two vectors, as A1111 writes it."""
    vectors = numbers((2, CLIP.width), np.random.default_rng(SEED + 3), 0.5)
    tree: Tree = {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": vectors},
        "name": "moonglade",
        "step": 500,
        "sd_checkpoint": None,
        "sd_checkpoint_name": None,
    }
    save(path, {"string_to_param.*": vectors}, tree=tree, force=True)


def glow(path: Path) -> None:
    """A hypernetwork as A1111 writes it: a pair of small networks for every width of context."""
    generator = np.random.default_rng(SEED + 4)
    widths = sorted({CLIP.width, *UNET.widths})
    tensors: dict[str, Tensor] = {}
    tree: dict[Key, Tree] = {
        "step": 1000,
        "name": "glow",
        "layer_structure": [1.0, 2.0, 1.0],
        "activation_func": "linear",
        "is_layer_norm": False,
        "sd_checkpoint": None,
        "sd_checkpoint_name": None,
    }
    for width in widths:
        pair: list[Tree] = []
        for half in (0, 1):
            layers = {
                "linear.0.weight": numbers((2 * width, width), generator, 0.02),
                "linear.0.bias": numbers((2 * width,), generator, 0.02),
                "linear.1.weight": numbers((width, 2 * width), generator, 0.02),
                "linear.1.bias": numbers((width,), generator, 0.02),
            }
            tensors |= {f"{width}.{half}.{name}": tensor for name, tensor in layers.items()}
            pair.append(dict(layers))
        tree[width] = pair
    save(path, tensors, tree=tree, force=True)


def soft(path: Path) -> None:
    """A VAE in a file of its own, in half precision, with its keys bare."""
    generator = np.random.default_rng(SEED + 5)
    shapes = vae_shapes(SMALL_VAE)
    save(path, {n: weight(n, s, generator, F16) for n, s in shapes.items()}, force=True)


PAINTS: tuple[tuple[str, Callable[[Path], None]], ...] = (
    ("models/Lora/ink.safetensors", ink),
    ("models/VAE/soft.safetensors", soft),
    ("models/hypernetworks/glow.pt", glow),
    ("embeddings/moonglade.pt", moonglade),
)
"""where A1111 looks for them, and what makes them"""


def make_paints(folder: Path) -> None:
    """All of them under `folder`, laid out as A1111 lays out its own."""
    for name, make in PAINTS:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
