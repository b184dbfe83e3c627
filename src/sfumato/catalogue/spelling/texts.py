"""Two spellings of one CLIP text encoder: OpenCLIP's names and those of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from sfumato.catalogue.spelling.networks import Module, Pairs, modules, translate
from sfumato.catalogue.trees.text import Text, clip_shapes, openclip_shapes

LAYER: tuple[tuple[str, str], ...] = (
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
    ("attn.out_proj", "self_attn.out_proj"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
)
"""inside a layer: OpenCLIP, transformers"""

PACKED = ("q_proj", "k_proj", "v_proj")
"""what OpenCLIP packs, row by row, into `in_proj_weight` and `in_proj_bias`"""


class Packed(NamedTuple):
    """One OpenCLIP tensor and the three of transformers that it holds."""

    packed: str
    single: tuple[str, str, str]


@lru_cache(maxsize=16)
def text_pairs(text: Text) -> Pairs:
    """OpenCLIP path → transformers path, for everything that is not packed."""
    pairs = {
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "token_embedding": "text_model.embeddings.token_embedding",
        "ln_final": "text_model.final_layer_norm",
        "text_projection": "text_projection.weight",
    }
    for index in range(text.layers):
        for here, there in LAYER:
            before = f"transformer.resblocks.{index}.{here}"
            pairs[before] = f"text_model.encoder.layers.{index}.{there}"
    return pairs


@lru_cache(maxsize=16)
def text_packed(text: Text) -> tuple[Packed, ...]:
    """Every packed tensor of OpenCLIP with the three that it holds, in the order of its rows."""
    return tuple(
        Packed(
            f"transformer.resblocks.{index}.attn.in_proj_{end}",
            (
                f"text_model.encoder.layers.{index}.self_attn.q_proj.{end}",
                f"text_model.encoder.layers.{index}.self_attn.k_proj.{end}",
                f"text_model.encoder.layers.{index}.self_attn.v_proj.{end}",
            ),
        )
        for index in range(text.layers)
        for end in ("weight", "bias")
    )


@lru_cache(maxsize=16)
def text_names(text: Text) -> Mapping[str, str]:
    """OpenCLIP key → transformers key, for every tensor that is not packed.

    `text_projection` is transposed on the way; `logit_scale` has no other name.
    """
    pairs = text_pairs(text)
    found = ((name, translate(name, pairs)) for name in openclip_shapes(text))
    return {name: there for name, there in found if there is not None}


@lru_cache(maxsize=16)
def openclip_modules(text: Text) -> tuple[Module, ...]:
    """Every layer with a weight: its place in OpenCLIP and its name in transformers."""
    back = {there: here for here, there in text_names(text).items()}
    return tuple(
        _module(name.removesuffix(".weight"), back, text)
        for name in clip_shapes(text)
        if name.endswith(".weight")
    )


def _module(path: str, back: Mapping[str, str], text: Text) -> Module:
    key = f"{path}.weight"
    shape = clip_shapes(text)[key]
    if key in back:
        return Module(back[key].removesuffix(".weight"), path, shape, back[key])
    head, _, name = path.rpartition(".self_attn.")
    layer = head.rpartition(".")[2]
    packed = f"transformer.resblocks.{layer}.attn.in_proj"
    first = PACKED.index(name) * text.width
    return Module(packed, path, shape, f"{packed}_weight", (first, first + text.width))


@lru_cache(maxsize=16)
def clip_modules(text: Text) -> tuple[Module, ...]:
    """Every layer with a weight of an encoder that both worlds spell as transformers does."""
    shapes = clip_shapes(text)
    return modules(shapes, {name: name for name in shapes})
