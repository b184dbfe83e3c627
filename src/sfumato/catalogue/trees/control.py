"""The networks that steer a UNet from outside as trees of shapes: ControlNets, T2I-Adapters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from sfumato.catalogue.spelling.networks import translate, unet_pairs
from sfumato.catalogue.trees.shapes import Shapes, Tree, conv, flatten, sequence
from sfumato.catalogue.trees.unet import SD1, SD2, SDXL, UNet, descent, skips, unet_shapes

HINT: tuple[int, ...] = (16, 16, 32, 32, 96, 96, 256)
"""channels of the small network that shrinks the control picture to the latent's size"""


@dataclass(frozen=True, slots=True)
class ControlNet:
    """Sizes of a ControlNet: a copy of half a UNet, with 1×1 convolutions as outlets."""

    unet: UNet
    hint: int = 3
    """channels of the control picture"""


CONTROL_SD1 = ControlNet(SD1)
CONTROL_SD2 = ControlNet(SD2)
CONTROL_SDXL = ControlNet(SDXL)


@lru_cache(maxsize=8)
def control_shapes(control: ControlNet) -> Shapes:
    """Every key of a ControlNet in the original spelling."""
    unet = control.unet
    outlets = [sequence(conv(width, width, 1)) for width in skips(unet)]
    tree: dict[str, Tree] = {
        **descent(unet),
        "zero_convs": sequence(*outlets),
        "input_hint_block": _hint(control),
        "middle_block_out": sequence(conv(unet.widths[-1], unet.widths[-1], 1)),
    }
    whole = unet_shapes(unet)
    time = {n: s for n, s in whole.items() if n.startswith(("time_embed.", "label_emb."))}
    return {**time, **flatten(tree)}


def _hint(control: ControlNet) -> Tree:
    widths = (control.hint, *HINT, control.unet.widths[0])
    layers: list[Tree | None] = []
    for inputs, outputs in pairwise(widths):
        layers += [conv(inputs, outputs), None]
    return sequence(*layers)


@lru_cache(maxsize=8)
def control_diffusers_shapes(control: ControlNet) -> Shapes:
    """Every key of a ControlNet in the spelling of diffusers."""
    pairs = control_pairs(control)
    found = ((translate(name, pairs), shape) for name, shape in control_shapes(control).items())
    return {name: shape for name, shape in found if name is not None}


@lru_cache(maxsize=8)
def control_pairs(control: ControlNet) -> dict[str, str]:
    """Original module path → diffusers module path."""
    pairs = dict(unet_pairs(control.unet))
    for index in range(len(skips(control.unet))):
        pairs[f"zero_convs.{index}.0"] = f"controlnet_down_blocks.{index}"
    pairs["middle_block_out.0"] = "controlnet_mid_block"
    pairs["input_hint_block.0"] = "controlnet_cond_embedding.conv_in"
    for index in range(1, len(HINT)):
        pairs[f"input_hint_block.{2 * index}"] = f"controlnet_cond_embedding.blocks.{index - 1}"
    pairs[f"input_hint_block.{2 * len(HINT)}"] = "controlnet_cond_embedding.conv_out"
    return pairs


@dataclass(frozen=True, slots=True)
class Adapter:
    """Sizes of a T2I-Adapter."""

    inputs: int
    """channels of the control picture after its pixels were folded: 192 for RGB in 8×8 tiles"""
    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    blocks: int = 2


@lru_cache(maxsize=8)
def adapter_shapes(adapter: Adapter) -> Shapes:
    """Every key of a T2I-Adapter in the original spelling."""
    body: list[Tree] = []
    last = adapter.widths[0]
    for width in adapter.widths:
        for _ in range(adapter.blocks):
            body.append({**_in_conv(last, width), **_adapter_block(width)})
            last = width
    return flatten({"conv_in": conv(adapter.inputs, adapter.widths[0]), "body": sequence(*body)})


@lru_cache(maxsize=8)
def adapter_diffusers_shapes(adapter: Adapter) -> Shapes:
    """Every key of a T2I-Adapter in the spelling of diffusers, from `adapter.` on."""
    body: list[Tree] = []
    last = adapter.widths[0]
    for width in adapter.widths:
        blocks = [_adapter_block(width)] * adapter.blocks
        body.append({**_in_conv(last, width), "resnets": sequence(*blocks)})
        last = width
    tree: Tree = {"conv_in": conv(adapter.inputs, adapter.widths[0]), "body": sequence(*body)}
    return flatten({"adapter": tree})


def _in_conv(inputs: int, outputs: int) -> dict[str, Tree]:
    return {"in_conv": conv(inputs, outputs, 1)} if inputs != outputs else {}


def _adapter_block(width: int) -> dict[str, Tree]:
    return {"block1": conv(width, width), "block2": conv(width, width, 1)}
