"""The picture half of CLIP as trees of shapes, in the spellings of transformers and OpenCLIP."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sfumato.catalogue.trees.shapes import Shape, Shapes, Tree, flatten, linear, norm, sequence


@dataclass(frozen=True, slots=True)
class Vision:
    """Sizes of a CLIP vision transformer."""

    width: int
    layers: int
    inner: int
    projection: int
    patch: int = 14
    positions: int = 257
    """patches of a picture, and one more for the whole"""


VISION_L = Vision(1024, 24, 4096, 768)
VISION_L_336 = Vision(1024, 24, 4096, 768, positions=577)
VISION_H = Vision(1280, 32, 5120, 1024)
VISION_G = Vision(1664, 48, 8192, 1280)


@lru_cache(maxsize=8)
def vision_shapes(vision: Vision) -> Shapes:
    """Every key in the spelling of transformers."""
    width = vision.width
    layer: Tree = {
        "self_attn": {
            name: linear(width, width) for name in ("k_proj", "v_proj", "q_proj", "out_proj")
        },
        "layer_norm1": norm(width),
        "mlp": {"fc1": linear(width, vision.inner), "fc2": linear(vision.inner, width)},
        "layer_norm2": norm(width),
    }
    embeddings: dict[str, Tree | Shape] = {
        "class_embedding": (width,),
        "patch_embedding": {"weight": (width, 3, vision.patch, vision.patch)},
        "position_embedding": {"weight": (vision.positions, width)},
    }
    tower: dict[str, Tree | Shape] = {
        "embeddings": embeddings,
        "pre_layrnorm": norm(width),  # spelled so in transformers
        "encoder": {"layers": sequence(*[layer] * vision.layers)},
        "post_layernorm": norm(width),
    }
    tree: dict[str, Tree | Shape] = {"vision_model": tower}
    if vision.projection:
        tree["visual_projection"] = {"weight": (vision.projection, width)}
    return flatten(tree)


@lru_cache(maxsize=8)
def visual_shapes(vision: Vision) -> Shapes:
    """Every key in the spelling of OpenCLIP, from `visual.` on."""
    width = vision.width
    block: dict[str, Tree | Shape] = {
        "ln_1": norm(width),
        "attn": {
            "in_proj_weight": (3 * width, width),
            "in_proj_bias": (3 * width,),
            "out_proj": linear(width, width),
        },
        "ln_2": norm(width),
        "mlp": {"c_fc": linear(width, vision.inner), "c_proj": linear(vision.inner, width)},
    }
    tree: dict[str, Tree | Shape] = {
        "class_embedding": (width,),
        "positional_embedding": (vision.positions, width),
        "proj": (width, vision.projection),
        "conv1": {"weight": (width, 3, vision.patch, vision.patch)},
        "ln_pre": norm(width),
        "transformer": {"resblocks": sequence(*[block] * vision.layers)},
        "ln_post": norm(width),
    }
    return flatten({"visual": tree})
