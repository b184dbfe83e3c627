"""The UNets of the latent diffusion line as trees of shapes, in the original spelling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from sfumato.catalogue.trees.shapes import Shapes, Tree, conv, flatten, linear, norm, sequence

NO_ATTENTION = -1
"""middle: one residual block and nothing else (SSD-1B, Vega)"""
NO_MIDDLE = -2
"""middle: the block is left out (KOALA-700M, BK-SDM)"""

CLASS_LABELS = (1536, 2048)
"""widths of `label_emb` that hold an image embedding (unCLIP) rather than pooled text and sizes"""


@dataclass(frozen=True, slots=True)
class UNet:
    """Sizes of a UNet; everything else about its keys and shapes follows from them."""

    widths: tuple[int, ...]
    """channels of each level, the finest first"""
    depths: tuple[int, ...]
    """transformer blocks in each residual block on the way down; 0 where there is no attention"""
    rises: tuple[int, ...]
    """the same on the way up, in the order of `output_blocks`"""
    middle: int
    """transformer blocks in the middle, or NO_ATTENTION, or NO_MIDDLE"""
    context: int
    """width of the text encoding that is attended to; 0 where nothing is"""
    inputs: int = 4
    outputs: int = 4
    blocks: int = 2
    """residual blocks per level on the way down; one more on the way up"""
    labels: int = 0
    """width of the vector added to the time embedding; 0 for none"""
    class_labels: bool = False
    """True where that vector is an image embedding (unCLIP), which diffusers names differently"""
    classes: int = 0
    """rows of a table of classes added to the time embedding (noise levels of x4-upscaler)"""
    linear_projection: bool = False
    """True where a transformer's first and last layers are linear rather than 1×1 convolutions"""
    cross_only: tuple[bool, ...] = ()
    """levels whose self-attention looks at the text instead (x4-upscaler); empty for none"""

    def level(self, index: int) -> int:
        """Level of the residual block `index` on the way down."""
        return index // self.blocks


Depth = int | tuple[int, ...]


def sizes(
    widths: tuple[int, ...],
    depths: Sequence[Depth],
    middle: int,
    context: int,
    *,
    rises: Sequence[Depth] | None = None,
    inputs: int = 4,
    outputs: int = 4,
    blocks: int = 2,
    labels: int = 0,
    classes: int = 0,
    linear_projection: bool = False,
    cross_only: tuple[bool, ...] = (),
) -> UNet:
    """Sizes from one depth per level, or one tuple per level where its blocks differ.

    rises: depths on the way up, the coarsest level first; those of the way down where left out.
    """
    up = rises if rises is not None else [_last(depth) for depth in reversed(depths)]
    return UNet(
        widths,
        tuple(d for depth in depths for d in _each(depth, blocks)),
        tuple(d for depth in up for d in _each(depth, blocks + 1)),
        middle,
        context,
        inputs=inputs,
        outputs=outputs,
        blocks=blocks,
        labels=labels,
        class_labels=labels in CLASS_LABELS,
        classes=classes,
        linear_projection=linear_projection,
        cross_only=cross_only,
    )


def unet(
    widths: tuple[int, ...],
    depths: Sequence[Depth],
    middle: int,
    context: int,
    *,
    inputs: int = 4,
    outputs: int = 4,
    blocks: int = 2,
    labels: int = 0,
    linear_projection: bool = False,
) -> Shapes:
    """Every key of a UNet and its shape: `unet((320, 640, 1280, 1280), (1, 1, 1, 0), 1, 768)`."""
    return unet_shapes(
        sizes(
            widths,
            depths,
            middle,
            context,
            inputs=inputs,
            outputs=outputs,
            blocks=blocks,
            labels=labels,
            linear_projection=linear_projection,
        )
    )


@lru_cache(maxsize=64)
def unet_shapes(unet: UNet) -> Shapes:
    """Every key of `unet` and its shape."""
    base, time = unet.widths[0], 4 * unet.widths[0]
    tree: dict[str, Tree] = {
        "time_embed": {"0": linear(base, time), "2": linear(time, time)},
        **_labels(unet, time),
        **descent(unet),
        "output_blocks": _ascent(unet),
        "out": {"0": norm(base), "2": conv(base, unet.outputs)},
    }
    return flatten(tree)


def descent(unet: UNet) -> dict[str, Tree]:
    """The way down and the middle, which a ControlNet copies."""
    width, time = unet.widths[0], 4 * unet.widths[0]
    down: list[Tree] = [sequence(conv(unet.inputs, width))]
    for index, depth in enumerate(unet.depths):
        level = unet.level(index)
        out = unet.widths[level]
        down.append(sequence(residual(width, out, time), _attend(unet, out, depth, level)))
        width = out
        if (index + 1) % unet.blocks == 0 and level < len(unet.widths) - 1:
            down.append(sequence({"op": conv(width, width)}))
    tree: dict[str, Tree] = {"input_blocks": sequence(*down)}
    if unet.middle != NO_MIDDLE:
        tree["middle_block"] = _middle(unet, width, time)
    return tree


def skips(unet: UNet) -> list[int]:
    """Channels that every block of the way down hands across, in order."""
    found = [unet.widths[0]]
    for level, width in enumerate(unet.widths):
        found += [width] * (unet.blocks + (level < len(unet.widths) - 1))
    return found


def _labels(unet: UNet, time: int) -> dict[str, Tree]:
    if unet.labels:
        return {"label_emb": {"0": {"0": linear(unet.labels, time), "2": linear(time, time)}}}
    return {"label_emb": {"weight": (unet.classes, time)}} if unet.classes else {}


def _middle(unet: UNet, width: int, time: int) -> Tree:
    block = residual(width, width, time)
    if unet.middle == NO_ATTENTION:
        return sequence(block)
    return sequence(block, _attend(unet, width, unet.middle), block)


def _ascent(unet: UNet) -> Tree:
    width, time = unet.widths[-1], 4 * unet.widths[0]
    across, up = skips(unet), list[Tree]()
    for index, depth in enumerate(unet.rises):
        level = len(unet.widths) - 1 - index // (unet.blocks + 1)
        out = unet.widths[level]
        layers = [residual(width + across.pop(), out, time), _attend(unet, out, depth, level)]
        if level and index % (unet.blocks + 1) == unet.blocks:
            # The upsampler takes the next free number, 1 or 2 (openaimodel.py).
            layers = [layer for layer in layers if layer is not None] + [{"conv": conv(out, out)}]
        up.append(sequence(*layers))
        width = out
    return sequence(*up)


def residual(inputs: int, outputs: int, time: int) -> Tree:
    """A residual block that takes the time embedding."""
    tree: dict[str, Tree] = {
        "in_layers": {"0": norm(inputs), "2": conv(inputs, outputs)},
        "emb_layers": {"1": linear(time, outputs)},
        "out_layers": {"0": norm(outputs), "3": conv(outputs, outputs)},
    }
    return tree | ({"skip_connection": conv(inputs, outputs, 1)} if inputs != outputs else {})


def _attend(unet: UNet, width: int, depth: int, level: int = -1) -> Tree | None:
    if not depth:
        return None
    own = unet.context if level >= 0 and any(unet.cross_only[level : level + 1]) else width
    project = linear(width, width) if unet.linear_projection else conv(width, width, 1)
    block = _transformer_block(width, own, unet.context)
    return {
        "norm": norm(width),
        "proj_in": project,
        "transformer_blocks": sequence(*[block] * depth),
        "proj_out": project,
    }


def _transformer_block(width: int, own: int, context: int) -> Tree:
    return {
        "attn1": _attention(width, own),
        "attn2": _attention(width, context),
        "ff": {"net": {"0": {"proj": linear(width, 8 * width)}, "2": linear(4 * width, width)}},
        "norm1": norm(width),
        "norm2": norm(width),
        "norm3": norm(width),
    }


def _attention(width: int, context: int) -> Tree:
    return {
        "to_q": linear(width, width, bias=False),
        "to_k": linear(context, width, bias=False),
        "to_v": linear(context, width, bias=False),
        "to_out": sequence(linear(width, width)),
    }


def _each(depth: Depth, count: int) -> tuple[int, ...]:
    return depth if isinstance(depth, tuple) else (depth,) * count


def _last(depth: Depth) -> int:
    return depth[-1] if isinstance(depth, tuple) else depth


SD1 = sizes((320, 640, 1280, 1280), (1, 1, 1, 0), 1, 768)
SD2 = sizes((320, 640, 1280, 1280), (1, 1, 1, 0), 1, 1024, linear_projection=True)
SDXL = sizes((320, 640, 1280), (0, 2, 10), 10, 2048, labels=2816, linear_projection=True)
REFINER = sizes((384, 768, 1536, 1536), (0, 4, 4, 0), 4, 1280, labels=2560, linear_projection=True)
"""the sizes of the published base models; their variants differ in a field or two"""
