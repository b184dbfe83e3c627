"""The text encoders as trees of shapes: CLIP in two spellings, and T5."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sfumato.catalogue.trees.shapes import Shape, Shapes, Tree, flatten, linear, norm, sequence

TOKENS = 49408
"""entries of CLIP's vocabulary"""


@dataclass(frozen=True, slots=True)
class Text:
    """Sizes of a CLIP text encoder; it has width / 64 heads."""

    width: int
    layers: int
    inner: int
    """width inside the feed-forward layers"""
    projection: int = 0
    """width of the projected, pooled output; 0 without a projection"""
    vocabulary: int = TOKENS
    positions: int = 77


CLIP_L = Text(768, 12, 3072)
CLIP_H = Text(1024, 24, 4096, 1024)
CLIP_G = Text(1280, 32, 5120, 1280)


def clip_l() -> Shapes:
    """The text encoder of SD1 and SDXL's first, in the spelling of transformers."""
    return clip_shapes(CLIP_L)


def openclip_h() -> Shapes:
    """The text encoder of SD2, in the spelling of OpenCLIP."""
    return openclip_shapes(CLIP_H)


def openclip_g() -> Shapes:
    """SDXL's second text encoder (bigG), in the spelling of OpenCLIP."""
    return openclip_shapes(CLIP_G)


@lru_cache(maxsize=16)
def clip_shapes(text: Text) -> Shapes:
    """Every key of `text` in the spelling of transformers, from `text_model.` on."""
    layer = {
        "self_attn": {
            name: linear(text.width, text.width)
            for name in ("k_proj", "v_proj", "q_proj", "out_proj")
        },
        "layer_norm1": norm(text.width),
        "mlp": {"fc1": linear(text.width, text.inner), "fc2": linear(text.inner, text.width)},
        "layer_norm2": norm(text.width),
    }
    tree: dict[str, Tree] = {
        "text_model": {
            "embeddings": {
                "token_embedding": {"weight": (text.vocabulary, text.width)},
                "position_embedding": {"weight": (text.positions, text.width)},
            },
            "encoder": {"layers": sequence(*[layer] * text.layers)},
            "final_layer_norm": norm(text.width),
        },
    }
    if text.projection:
        tree["text_projection"] = {"weight": (text.projection, text.width)}
    return flatten(tree)


@lru_cache(maxsize=16)
def openclip_shapes(text: Text) -> Shapes:
    """Every key of `text` in the spelling of OpenCLIP, where query, key and value are packed."""
    block: dict[str, Tree | Shape] = {
        "ln_1": norm(text.width),
        "attn": {
            "in_proj_weight": (3 * text.width, text.width),
            "in_proj_bias": (3 * text.width,),
            "out_proj": linear(text.width, text.width),
        },
        "ln_2": norm(text.width),
        "mlp": {"c_fc": linear(text.width, text.inner), "c_proj": linear(text.inner, text.width)},
    }
    tree: dict[str, Tree | Shape] = {
        "positional_embedding": (text.positions, text.width),
        "token_embedding": {"weight": (text.vocabulary, text.width)},
        "transformer": {"resblocks": sequence(*[block] * text.layers)},
        "ln_final": norm(text.width),
    }
    if text.projection:
        tree |= {"text_projection": (text.width, text.projection), "logit_scale": ()}
    return flatten(tree)


@dataclass(frozen=True, slots=True)
class T5:
    """Sizes of a T5 1.1 encoder."""

    width: int = 4096
    layers: int = 24
    heads: int = 64
    inner: int = 10240
    attention: int = 4096
    """width of all heads together"""
    vocabulary: int = 32128
    buckets: int = 32
    """distances between tokens that attention tells apart"""


T5_XXL = T5()


@lru_cache(maxsize=4)
def t5_shapes(t5: T5) -> Shapes:
    """Every key of a T5 encoder; the embedding is stored once, as `shared`."""

    def layer(index: int) -> Tree:
        attention: dict[str, Tree] = {
            name: linear(t5.width, t5.attention, bias=False) for name in ("q", "k", "v")
        }
        attention["o"] = linear(t5.attention, t5.width, bias=False)
        if not index:
            attention["relative_attention_bias"] = {"weight": (t5.buckets, t5.heads)}
        gated: Tree = {
            "wi_0": linear(t5.width, t5.inner, bias=False),
            "wi_1": linear(t5.width, t5.inner, bias=False),
            "wo": linear(t5.inner, t5.width, bias=False),
        }
        scale = norm(t5.width, bias=False)
        return {
            "layer": {
                "0": {"SelfAttention": attention, "layer_norm": scale},
                "1": {"DenseReluDense": gated, "layer_norm": scale},
            }
        }

    return flatten(
        {
            "shared": {"weight": (t5.vocabulary, t5.width)},
            "encoder": {
                "block": sequence(*[layer(index) for index in range(t5.layers)]),
                "final_layer_norm": norm(t5.width, bias=False),
            },
        }
    )
