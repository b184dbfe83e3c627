"""Two spellings of one network: the original (LDM) module names and those of diffusers.

A spelling is a table of pairs of module paths, built by small loops from a network's sizes and read
in both directions; what follows the longest known path is spelled alike on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from sfumato.catalogue.trees.shapes import Shape, Shapes
from sfumato.catalogue.trees.unet import NO_MIDDLE, UNet, unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes

Pairs = Mapping[str, str]
"""module path in one spelling → in the other"""

RESIDUAL: tuple[tuple[str, str], ...] = (
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
)
"""inside a UNet's residual block: LDM, diffusers"""

OUTER: tuple[tuple[str, str], ...] = (
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("time_embed.cond_proj", "time_embedding.cond_proj"),
    ("input_blocks.0.0", "conv_in"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
)
"""a UNet's modules outside its blocks; `cond_proj` is an addition of LCM"""


class Module(NamedTuple):
    """One layer with a weight, as both spellings call it."""

    ldm: str
    """path in the original spelling; for packed attention the path without `_weight`"""
    diffusers: str
    shape: Shape
    """shape of the weight as diffusers has it, which is what an adapter sees"""
    weight: str
    """the original key of the weight"""
    rows: tuple[int, int] | None = None
    """rows of `weight` that belong to this module, where several are packed into one tensor"""


def translate(key: str, pairs: Pairs, depth: int = 6) -> str | None:
    """`key` with its longest path known to `pairs` replaced; None where none is known."""
    parts = key.split(".", depth)
    for count in range(len(parts), 0, -1):
        if (found := pairs.get(".".join(parts[:count]))) is not None:
            return ".".join([found, *parts[count:]])
    return None


def inverse(pairs: Pairs) -> dict[str, str]:
    """The table read in the other direction."""
    return {there: here for here, there in pairs.items()}


def translate_names(names: Iterable[str], pairs: Pairs) -> dict[str, str]:
    """Every name that `pairs` knows → its translation."""
    found = ((name, translate(name, pairs)) for name in names)
    return {name: there for name, there in found if there is not None}


@lru_cache(maxsize=64)
def unet_pairs(unet: UNet) -> Pairs:
    """LDM module path → diffusers module path, for every block of `unet`."""
    pairs = dict(OUTER)
    if unet.classes:
        pairs["label_emb"] = "class_embedding"
    embedding = "class_embedding" if unet.class_labels else "add_embedding"
    pairs["label_emb.0.0"] = f"{embedding}.linear_1"
    pairs["label_emb.0.2"] = f"{embedding}.linear_2"
    for level in range(len(unet.widths)):
        _pair_level(pairs, unet, level)
    if unet.middle != NO_MIDDLE:
        _pair_residual(pairs, "middle_block.0", "mid_block.resnets.0")
        _pair_residual(pairs, "middle_block.2", "mid_block.resnets.1")
        pairs["middle_block.1"] = "mid_block.attentions.0"
    return pairs


def _pair_level(pairs: dict[str, str], unet: UNet, level: int) -> None:
    blocks, levels = unet.blocks, len(unet.widths)
    first = 1 + (blocks + 1) * level
    for i in range(blocks):
        _pair_residual(pairs, f"input_blocks.{first + i}.0", f"down_blocks.{level}.resnets.{i}")
        pairs[f"input_blocks.{first + i}.1"] = f"down_blocks.{level}.attentions.{i}"
    if level < levels - 1:
        down = f"down_blocks.{level}.downsamplers.0.conv"
        pairs[f"input_blocks.{first + blocks}.0.op"] = down
    first = (blocks + 1) * level
    for i in range(blocks + 1):
        _pair_residual(pairs, f"output_blocks.{first + i}.0", f"up_blocks.{level}.resnets.{i}")
        pairs[f"output_blocks.{first + i}.1"] = f"up_blocks.{level}.attentions.{i}"
    if level < levels - 1:
        number = 2 if unet.rises[first + blocks] else 1
        up = f"up_blocks.{level}.upsamplers.0.conv"
        pairs[f"output_blocks.{first + blocks}.{number}.conv"] = up


def _pair_residual(pairs: dict[str, str], ldm: str, diffusers: str) -> None:
    for here, there in RESIDUAL:
        pairs[f"{ldm}.{here}"] = f"{diffusers}.{there}"


@lru_cache(maxsize=64)
def unet_names(unet: UNet) -> Mapping[str, str]:
    """LDM key → diffusers key, for every tensor of `unet`."""
    return translate_names(unet_shapes(unet), unet_pairs(unet))


@lru_cache(maxsize=64)
def unet_modules(unet: UNet) -> tuple[Module, ...]:
    """Every layer of `unet` that has a weight, in both spellings."""
    return modules(unet_shapes(unet), unet_names(unet))


def modules(shapes: Shapes, names: Mapping[str, str]) -> tuple[Module, ...]:
    """Every layer of a network whose keys translate one to one and whose shapes do not change."""
    return tuple(
        Module(name[: -len(".weight")], names[name][: -len(".weight")], shape, name)
        for name, shape in shapes.items()
        if name.endswith(".weight")
    )


VAE_ATTENTION: tuple[tuple[str, str, str], ...] = (
    ("norm", "group_norm", "group_norm"),
    ("q", "to_q", "query"),
    ("k", "to_k", "key"),
    ("v", "to_v", "value"),
    ("proj_out", "to_out.0", "proj_attn"),
)
"""inside a VAE's attention: LDM, diffusers, diffusers up to 0.16"""


@lru_cache(maxsize=32)
def vae_pairs(vae: VAE, *, old: bool = False) -> Pairs:
    """LDM module path → diffusers module path; `old` gives the attention names up to 0.16."""
    pairs = {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
    last = len(vae.multipliers) - 1
    for half, side, count in (("encoder", "down", 0), ("decoder", "up", 1)):
        _pair_fixed(pairs, half, old=old)
        for level in range(last + 1):
            here = f"{half}.{side}.{level}"
            there = f"{half}.{side}_blocks.{last - level if count else level}"
            for i in range(vae.blocks + count):
                pairs[f"{here}.block.{i}"] = f"{there}.resnets.{i}"
                pairs[f"{here}.block.{i}.nin_shortcut"] = f"{there}.resnets.{i}.conv_shortcut"
            pairs[f"{here}.{side}sample.conv"] = f"{there}.{side}samplers.0.conv"
    return pairs


def _pair_fixed(pairs: dict[str, str], half: str, *, old: bool) -> None:
    pairs |= {f"{half}.conv_in": f"{half}.conv_in", f"{half}.conv_out": f"{half}.conv_out"}
    pairs[f"{half}.norm_out"] = f"{half}.conv_norm_out"
    for number in (1, 2):
        pairs[f"{half}.mid.block_{number}"] = f"{half}.mid_block.resnets.{number - 1}"
    for ldm, new, before in VAE_ATTENTION:
        there = f"{half}.mid_block.attentions.0.{before if old else new}"
        pairs[f"{half}.mid.attn_1.{ldm}"] = there


@lru_cache(maxsize=32)
def vae_names(vae: VAE, *, old: bool = False) -> Mapping[str, str]:
    """LDM key → diffusers key, for every tensor of `vae`."""
    return translate_names(vae_shapes(vae), vae_pairs(vae, old=old))


@lru_cache(maxsize=32)
def vae_modules(vae: VAE) -> tuple[Module, ...]:
    """Every layer of `vae` that has a weight, in both spellings and in the original shape."""
    return modules(vae_shapes(vae), vae_names(vae))


def squared(shape: Shape, name: str) -> Shape:
    """The shape diffusers gives a VAE's tensor: 1×1 convolutions of attention become linear."""
    return shape[:2] if ".attn_1." in name and len(shape) == 4 else shape
