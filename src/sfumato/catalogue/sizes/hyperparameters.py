"""Sizes of a network read off the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sfumato.catalogue.spelling.networks import translate, unet_pairs
from sfumato.catalogue.trees.shapes import Shape, Shapes
from sfumato.catalogue.trees.text import Text
from sfumato.catalogue.trees.unet import CLASS_LABELS, NO_ATTENTION, NO_MIDDLE, UNet
from sfumato.catalogue.trees.vae import VAE

Look = Callable[[str], Shape | None]
"""gives the shape that a key of the original spelling has in the file; None where it is absent"""

Number = int | str | tuple[int, ...]


def axis(shape: Shape | None, index: int, rank: int) -> int:
    """One size of a shape that must have `rank` axes; 0 where it has not, or is absent."""
    return shape[index] if shape is not None and len(shape) == rank else 0


def read_unet(shapes: Shapes) -> UNet | None:
    """Sizes of a UNet in the original spelling; None where its first blocks are not there."""
    return _read_unet(shapes.get)


def read_unet_diffusers(shapes: Shapes) -> UNet | None:
    """Sizes of a UNet in the spelling of diffusers."""
    levels = count(lambda i: f"down_blocks.{i}.resnets.0.conv1.weight" in shapes)
    blocks = count(lambda i: f"down_blocks.0.resnets.{i}.conv1.weight" in shapes)
    if not levels or not blocks or levels * blocks > len(shapes):
        return None
    rises = tuple(
        int(f"up_blocks.{level}.attentions.0.norm.weight" in shapes)
        for level in range(levels)
        for _ in range(blocks + 1)
    )
    by_class = "class_embedding.linear_1.weight" in shapes
    rows = int("class_embedding.weight" in shapes)
    skeleton = UNet(
        (0,) * levels, (), rises, 0, 0, blocks=blocks, class_labels=by_class, classes=rows
    )
    pairs = unet_pairs(skeleton)

    def look(key: str) -> Shape | None:
        there = translate(key, pairs)
        return None if there is None else shapes.get(there)

    found = _read_unet(look)
    return found and replace(found, class_labels=by_class)


def _read_unet(look: Look) -> UNet | None:
    first = look("input_blocks.0.0.weight")
    levels = _levels(look)
    blocks = len(levels[0])
    if first is None or len(first) != 4 or not blocks or {len(x) for x in levels} != {blocks}:
        return None
    numbers = [number for level in levels for number in level]
    rises = tuple(
        _depth(look, f"output_blocks.{index}.1") for index in range(len(levels) * (blocks + 1))
    )
    middle = _middle(look)
    attending = [f"input_blocks.{n}.1" for level in levels for n, _, depth in level if depth]
    attending += ["middle_block.1"] if middle > 0 else []
    attending += [f"output_blocks.{n}.1" for n, depth in enumerate(rises) if depth]
    labels = axis(look("label_emb.0.0.weight"), 1, 2)
    return UNet(
        tuple(level[0][1] for level in levels),
        tuple(depth for _, _, depth in numbers),
        rises,
        middle,
        _context(look, attending),
        inputs=first[1],
        outputs=axis(look("out.2.weight"), 0, 4),
        blocks=blocks,
        labels=labels,
        class_labels=labels in CLASS_LABELS,
        classes=axis(look("label_emb.weight"), 0, 2),
        linear_projection=any(
            len(look(f"{path}.proj_in.weight") or ()) == 2 for path in attending[:1]
        ),
        cross_only=_cross_only(look, levels),
    )


Block = tuple[int, int, int]
"""number of an input block, its width, its transformer blocks"""


def _levels(look: Look) -> list[list[Block]]:
    """The residual blocks of each level on the way down."""
    levels: list[list[Block]] = [[]]
    number = 1
    while True:
        block = f"input_blocks.{number}.0"
        shape = look(f"{block}.out_layers.3.weight") or look(f"{block}.in_layers.2.weight")
        if shape is not None:
            depth = _depth(look, f"input_blocks.{number}.1")
            levels[-1].append((number, axis(shape, 0, 4), depth))
        elif look(f"{block}.op.weight") or look(f"{block}.op.bias"):
            levels.append([])
        else:
            return levels
        number += 1


def _depth(look: Look, path: str) -> int:
    block = path + ".transformer_blocks.{}.{}.to_q.weight"
    return count(lambda i: any(look(block.format(i, a)) is not None for a in ("attn2", "attn1")))


def _middle(look: Look) -> int:
    if look("middle_block.0.out_layers.3.weight") is None:
        return NO_MIDDLE
    depth = _depth(look, "middle_block.1")
    if depth or look("middle_block.2.out_layers.3.weight") is not None:
        return depth
    return NO_ATTENTION


def _context(look: Look, attending: list[str]) -> int:
    for path in attending:
        if found := axis(look(f"{path}.transformer_blocks.0.attn2.to_k.weight"), 1, 2):
            return found
    return 0


def _cross_only(look: Look, levels: list[list[Block]]) -> tuple[bool, ...]:
    """Levels whose self-attention reads something of another width than the level's own."""
    found: list[bool] = []
    for level in levels:
        number, width, depth = level[0] if level else (0, 0, 0)
        key = f"input_blocks.{number}.1.transformer_blocks.0.attn1.to_k.weight"
        read = axis(look(key), 1, 2) if depth else 0
        found.append(read not in (0, width))
    return tuple(found) if any(found) else ()


def read_vae(shapes: Shapes) -> VAE | None:
    """Sizes of an autoencoder in the original spelling."""
    return _read_vae(
        shapes, "encoder.down.{}.block.{}.conv1.weight", "decoder.up.{}.block.{}.conv1.weight"
    )


def read_vae_diffusers(shapes: Shapes) -> VAE | None:
    """Sizes of an autoencoder in the spelling of diffusers."""
    down, up = (
        "encoder.down_blocks.{}.resnets.{}.conv1.weight",
        "decoder.up_blocks.{}.resnets.{}.conv1.weight",
    )
    return _read_vae(shapes, down, up)


def _read_vae(shapes: Shapes, down: str, up: str) -> VAE | None:
    """`down` and `up` spell a residual block's first convolution, given its level and number."""
    encoder, decoder = (any(f"{h}.{e}" in shapes for e in _ENDS) for h in ("encoder", "decoder"))
    if not encoder and not decoder:
        return None
    block, extra = (down, 0) if encoder else (up, 1)
    levels = count(lambda i: block.format(i, 0) in shapes)
    blocks = count(lambda i: block.format(0, i) in shapes) - extra
    if levels * blocks > len(shapes):
        return None
    outs = [axis(shapes.get(block.format(level, 0)), 0, 4) for level in range(levels)]
    if extra and "up_blocks" in up:
        outs.reverse()  # diffusers counts the decoder's levels from the coarsest
    width = axis(shapes.get("encoder.conv_in.weight"), 0, 4) or (outs[0] if outs else 0)
    if not width or not blocks or any(out % width for out in outs):
        return None
    latent = axis(shapes.get("decoder.conv_in.weight"), 1, 4)
    latent = latent or axis(shapes.get("encoder.conv_out.weight"), 0, 4) // 2
    quant = "quant_conv.weight" in shapes or "post_quant_conv.weight" in shapes
    multipliers = tuple(out // width for out in outs)
    return VAE(width, multipliers, blocks, latent, quant, encoder, decoder)


_ENDS = ("conv_in.weight", "conv_out.weight")
"""the first and the last of either half of an autoencoder"""


def read_clip(shapes: Shapes) -> Text | None:
    """Sizes of a text encoder in the spelling of transformers."""
    layer = "text_model.encoder.layers."
    return _read_text(
        shapes.get("text_model.embeddings.token_embedding.weight"),
        shapes.get("text_model.embeddings.position_embedding.weight"),
        _inner(shapes, layer, ".mlp.fc1.weight"),
        _layers(shapes, layer),
        axis(shapes.get("text_projection.weight"), 0, 2),
    )


def read_openclip(shapes: Shapes) -> Text | None:
    """Sizes of a text encoder in the spelling of OpenCLIP."""
    layer = "transformer.resblocks."
    return _read_text(
        shapes.get("token_embedding.weight"),
        shapes.get("positional_embedding"),
        _inner(shapes, layer, ".mlp.c_fc.weight"),
        _layers(shapes, layer),
        axis(shapes.get("text_projection"), 1, 2),
    )


def _layers(shapes: Shapes, start: str) -> int:
    """Layers up to the last one of which something is there, whatever is missing before it."""
    cut, last = len(start), -1
    for name in shapes:
        if name.startswith(start):
            number = name[cut : cut + 4].partition(".")[0]
            if number.isdecimal():
                last = max(last, int(number))
    return last + 1


def _inner(shapes: Shapes, start: str, end: str) -> Shape | None:
    """The first matrix between the layers of a block, of whichever block still has one."""
    found = (shapes.get(f"{start}{number}{end}") for number in range(3))
    return next((shape for shape in found if shape is not None), None)


def _read_text(
    tokens: Shape | None, places: Shape | None, inner: Shape | None, layers: int, projection: int
) -> Text | None:
    width = axis(tokens, 1, 2) or axis(inner, 1, 2)
    if not width or not layers:
        return None
    return Text(
        width,
        layers,
        axis(inner, 0, 2),
        projection,
        vocabulary=axis(tokens, 0, 2),
        positions=axis(places, 0, 2),
    )


def count(holds: Callable[[int], bool]) -> int:
    """The first number from 0 on for which `holds` is not true."""
    number = 0
    while holds(number):
        number += 1
    return number
