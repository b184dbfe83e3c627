"""The diffusion transformers of SD3 and Flux as trees of shapes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sfumato.catalogue.trees.shapes import (
    Shape,
    Shapes,
    Tree,
    conv,
    flatten,
    linear,
    norm,
    sequence,
)

TIME = 256
"""numbers in the sinusoidal time embedding"""


@dataclass(frozen=True, slots=True)
class SD3:
    """Sizes of an SD3 transformer (MMDiT)."""

    depth: int
    positions: int
    """rows of the stored position embedding"""
    width: int
    """64 channels per head, one head per block"""
    dual: int = 0
    """first blocks whose picture stream attends twice (3.5 medium)"""
    normed: bool = False
    """True where queries and keys are normalised (3.5)"""
    channels: int = 16
    patch: int = 2
    context: int = 4096
    pooled: int = 2048
    head: int = 64


SD3_MEDIUM = SD3(24, 36864, 1536)
SD35_MEDIUM = SD3(24, 147456, 1536, dual=13, normed=True)
SD35_LARGE = SD3(38, 36864, 2432, normed=True)


@lru_cache(maxsize=8)
def sd3_shapes(sd3: SD3) -> Shapes:
    """Every key of an SD3 transformer in the original spelling."""
    width = sd3.width
    tree: dict[str, Tree | Shape] = {
        "pos_embed": (1, sd3.positions, width),
        "x_embedder": {"proj": conv(sd3.channels, width, sd3.patch)},
        "t_embedder": {"mlp": sequence(linear(TIME, width), None, linear(width, width))},
        "y_embedder": {"mlp": sequence(linear(sd3.pooled, width), None, linear(width, width))},
        "context_embedder": linear(sd3.context, width),
        "joint_blocks": sequence(*[_joint(sd3, index) for index in range(sd3.depth)]),
        "final_layer": {
            "linear": linear(width, sd3.patch * sd3.patch * sd3.channels),
            "adaLN_modulation": {"1": linear(width, 2 * width)},
        },
    }
    return flatten(tree)


def _joint(sd3: SD3, index: int) -> Tree:
    """One block; the text stream of the last only feeds attention."""
    last, dual = index == sd3.depth - 1, index < sd3.dual
    x = _stream(sd3, 9 if dual else 6)
    return {
        "context_block": _stream(sd3, 2) if last else _stream(sd3, 6),
        "x_block": {**x, "attn2": _attention(sd3)} if dual else x,
    }


def _stream(sd3: SD3, modulations: int) -> dict[str, Tree]:
    width = sd3.width
    tree: dict[str, Tree] = {
        "attn": _attention(sd3, output=modulations > 2),
        "adaLN_modulation": {"1": linear(width, modulations * width)},
    }
    if modulations > 2:
        tree["mlp"] = {"fc1": linear(width, 4 * width), "fc2": linear(4 * width, width)}
    return tree


def _attention(sd3: SD3, *, output: bool = True) -> Tree:
    tree: dict[str, Tree] = {"qkv": linear(sd3.width, 3 * sd3.width)}
    if output:
        tree["proj"] = linear(sd3.width, sd3.width)
    if sd3.normed:
        tree |= {name: norm(sd3.head, bias=False) for name in ("ln_q", "ln_k")}
    return tree


@lru_cache(maxsize=8)
def sd3_diffusers_shapes(sd3: SD3) -> Shapes:
    """Every key of an SD3 transformer in the spelling of diffusers."""
    width = sd3.width
    pair = {"linear_1": linear(TIME, width), "linear_2": linear(width, width)}
    pooled = {"linear_1": linear(sd3.pooled, width), "linear_2": linear(width, width)}
    tree: dict[str, Tree] = {
        "pos_embed": {
            "pos_embed": (1, sd3.positions, width),
            "proj": conv(sd3.channels, width, sd3.patch),
        },
        "time_text_embed": {"timestep_embedder": pair, "text_embedder": pooled},
        "context_embedder": linear(sd3.context, width),
        "transformer_blocks": sequence(*[_joint_diffusers(sd3, i) for i in range(sd3.depth)]),
        "norm_out": {"linear": linear(width, 2 * width)},
        "proj_out": linear(width, sd3.patch * sd3.patch * sd3.channels),
    }
    return flatten(tree)


def _joint_diffusers(sd3: SD3, index: int) -> Tree:
    width, last, dual = sd3.width, index == sd3.depth - 1, index < sd3.dual
    square = linear(width, width)
    attention: dict[str, Tree] = dict.fromkeys(
        ("to_q", "to_k", "to_v", "add_k_proj", "add_v_proj", "add_q_proj"), square
    )
    attention["to_out"] = sequence(square)
    scale = norm(sd3.head, bias=False)
    own: dict[str, Tree] = {
        **dict.fromkeys(("to_q", "to_k", "to_v"), square),
        "to_out": sequence(square),
    }
    if sd3.normed:
        names = ("norm_q", "norm_k", "norm_added_q", "norm_added_k")
        attention |= dict.fromkeys(names, scale)
        own |= {"norm_q": scale, "norm_k": scale}
    tree: dict[str, Tree] = {
        "attn": attention,
        "norm1": {"linear": linear(width, (9 if dual else 6) * width)},
        "norm1_context": {"linear": linear(width, (2 if last else 6) * width)},
        "ff": _feed(width),
    }
    if dual:
        tree["attn2"] = own
    if not last:
        attention["to_add_out"] = square
        tree["ff_context"] = _feed(width)
    return tree


def _feed(width: int) -> Tree:
    return {"net": {"0": {"proj": linear(width, 4 * width)}, "2": linear(4 * width, width)}}


@dataclass(frozen=True, slots=True)
class Flux:
    """Sizes of a Flux transformer, or of Chroma, which grew out of it."""

    inputs: int = 64
    """numbers per picture token: 64, with a mask and a picture 384 (Fill), with a map 128"""
    guidance: bool = True
    """True where the guidance scale is an input (dev); False for schnell"""
    doubles: int = 19
    singles: int = 38
    width: int = 3072
    outputs: int = 64
    context: int = 4096
    pooled: int = 768
    head: int = 128
    distilled: int = 0
    """layers of the small network that makes all modulations (Chroma); 0 for none"""
    distilled_width: int = 5120


@lru_cache(maxsize=8)
def flux_shapes(flux: Flux) -> Shapes:
    """Every key of a Flux transformer in the original spelling."""
    width = flux.width
    tree: dict[str, Tree] = {
        "img_in": linear(flux.inputs, width),
        "txt_in": linear(flux.context, width),
        **_conditions(flux),
        "double_blocks": sequence(*[_double(flux)] * flux.doubles),
        "single_blocks": sequence(*[_single(flux)] * flux.singles),
        "final_layer": {"linear": linear(width, flux.outputs)}
        | ({} if flux.distilled else {"adaLN_modulation": {"1": linear(width, 2 * width)}}),
    }
    return flatten(tree)


def _conditions(flux: Flux) -> dict[str, Tree]:
    width = flux.width
    if flux.distilled:
        inner = flux.distilled_width
        layer = {"in_layer": linear(inner, inner), "out_layer": linear(inner, inner)}
        scale: Tree = {"scale": (inner,)}
        return {
            "distilled_guidance_layer": {
                "in_proj": linear(64, inner),
                "layers": sequence(*[layer] * flux.distilled),
                "norms": sequence(*[scale] * flux.distilled),
                "out_proj": linear(inner, width),
            }
        }
    tree = {"time_in": _embedder(TIME, width), "vector_in": _embedder(flux.pooled, width)}
    return tree | ({"guidance_in": _embedder(TIME, width)} if flux.guidance else {})


def _embedder(inputs: int, width: int) -> Tree:
    return {"in_layer": linear(inputs, width), "out_layer": linear(width, width)}


def _double(flux: Flux) -> Tree:
    width = flux.width
    tree: dict[str, Tree] = {}
    for stream in ("img", "txt"):
        tree[f"{stream}_attn"] = {
            "qkv": linear(width, 3 * width),
            "norm": _query_key(flux),
            "proj": linear(width, width),
        }
        tree[f"{stream}_mlp"] = sequence(linear(width, 4 * width), None, linear(4 * width, width))
        if not flux.distilled:
            tree[f"{stream}_mod"] = {"lin": linear(width, 6 * width)}
    return tree


def _single(flux: Flux) -> Tree:
    width = flux.width
    tree: dict[str, Tree] = {
        "linear1": linear(width, 7 * width),
        "linear2": linear(5 * width, width),
        "norm": _query_key(flux),
    }
    return tree | ({} if flux.distilled else {"modulation": {"lin": linear(width, 3 * width)}})


def _query_key(flux: Flux) -> Tree:
    return {"query_norm": {"scale": (flux.head,)}, "key_norm": {"scale": (flux.head,)}}


@lru_cache(maxsize=8)
def flux_diffusers_shapes(flux: Flux) -> Shapes:
    """Every key of a Flux transformer in the spelling of diffusers."""
    width = flux.width
    pair = {"linear_1": linear(TIME, width), "linear_2": linear(width, width)}
    pooled = {"linear_1": linear(flux.pooled, width), "linear_2": linear(width, width)}
    embedders: dict[str, Tree] = {"timestep_embedder": pair, "text_embedder": pooled}
    if flux.guidance:
        embedders["guidance_embedder"] = pair
    tree: dict[str, Tree] = {
        "time_text_embed": embedders,
        "context_embedder": linear(flux.context, width),
        "x_embedder": linear(flux.inputs, width),
        "transformer_blocks": sequence(*[_double_diffusers(flux)] * flux.doubles),
        "single_transformer_blocks": sequence(*[_single_diffusers(flux)] * flux.singles),
        "norm_out": {"linear": linear(width, 2 * width)},
        "proj_out": linear(width, flux.outputs),
    }
    return flatten(tree)


def _double_diffusers(flux: Flux) -> Tree:
    width, scale = flux.width, norm(flux.head, bias=False)
    square = linear(width, width)
    names = ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
    norms = ("norm_q", "norm_k", "norm_added_q", "norm_added_k")
    return {
        "norm1": {"linear": linear(width, 6 * width)},
        "norm1_context": {"linear": linear(width, 6 * width)},
        "attn": {
            **dict.fromkeys(names, square),
            "to_out": sequence(square),
            **dict.fromkeys(norms, scale),
        },
        "ff": _feed(width),
        "ff_context": _feed(width),
    }


def _single_diffusers(flux: Flux) -> Tree:
    width, scale = flux.width, norm(flux.head, bias=False)
    square = linear(width, width)
    return {
        "norm": {"linear": linear(width, 3 * width)},
        "proj_mlp": linear(width, 4 * width),
        "proj_out": linear(5 * width, width),
        "attn": {
            **dict.fromkeys(("to_q", "to_k", "to_v"), square),
            "norm_q": scale,
            "norm_k": scale,
        },
    }
