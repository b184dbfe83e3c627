"""The UNet of Stable Diffusion 1, 2 and XL, with the names of the original checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sfumato.catalogue.trees.unet import NO_ATTENTION, NO_MIDDLE, UNet, skips
from sfumato.engine.networks.attention import (
    Context,
    CrossAttention,
    KeysValues,
    SpatialTransformer,
    TransformerBlock,
)
from sfumato.engine.networks.convolution import Conv2d, memory_format
from sfumato.engine.networks.in_place import SiLU
from sfumato.engine.networks.normalisation import norm_groups
from sfumato.engine.networks.residual import Downsample, ResidualBlock, Upsample
from sfumato.engine.networks.table import Table
from sfumato.errors import UsageError


def timestep_embedding(timesteps: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of (b,) timesteps, which may lie between whole ones: (b, width) float32.

    Section 3.5 of Vaswani et al. (2017), https://arxiv.org/abs/1706.03762.
    """
    half = width // 2
    powers = torch.arange(half, dtype=torch.float32, device=timesteps.device) / half
    angles = timesteps.float()[:, None] * torch.exp(-math.log(10000.0) * powers)
    return functional.pad(torch.cat([angles.cos(), angles.sin()], dim=-1), (0, width % 2))


class Stage(nn.ModuleList):
    """Layers that follow one another, each given what it takes; an index is its name."""

    def forward(self, x: Tensor, time: Tensor, context: Context | None) -> Tensor:
        """x (b, c, h, w) through all layers."""
        for layer in self:
            if isinstance(layer, ResidualBlock):
                x = layer(x, time)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, context)
            else:
                x = layer(x)
        return x


class UNetModel(nn.Module):
    """The network that predicts noise (or v), of any `sizes`.

    Measured for SD1 in full size, batch 2, float32, beside diffusers eager: on one core 2.9 s of
    processor time and 5.5 at 256², 12.0 and 14.6 at 512²; 98 MB and 184, 281 MB and 417 beside the
    weights. The gain is in convolutions of small pictures (`Conv2d`), in tokens that are views of
    channels-last pictures, and in what is overwritten rather than copied. One matrix for queries,
    keys and values would gain nothing that could be measured; torch's attention is the fastest.
    """

    def __init__(self, sizes: UNet, *, heads: int = 0) -> None:
        """heads: of all attention; 0 for 8, or one for each 64 channels in SD2 and SDXL."""
        super().__init__()
        self.sizes = sizes
        self.checkpointing = False
        """whether training keeps only what goes from block to block, and computes the rest anew"""
        width, time = sizes.widths[0], 4 * sizes.widths[0]
        plan = _Plan(sizes, heads)
        self.time_embed = nn.Sequential(nn.Linear(width, time), SiLU(), nn.Linear(time, time))
        if sizes.labels:
            layers = (nn.Linear(sizes.labels, time), SiLU(), nn.Linear(time, time))
            self.label_emb = nn.Sequential(nn.Sequential(*layers))
        elif sizes.classes:
            self.label_emb = Table(sizes.classes, time, deviation=1.0)
        self.input_blocks = nn.ModuleList(plan.down())
        self.middle_block = plan.middle()
        self.output_blocks = nn.ModuleList(plan.up())
        self.out = nn.Sequential(
            nn.GroupNorm(plan.groups, width), SiLU(), Conv2d(width, sizes.outputs)
        )
        for place, layer in enumerate(self._readers()):
            layer.place = place

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Context | None = None,
        y: Tensor | None = None,
    ) -> Tensor:
        """Predict the noise (or v) in x (b, inputs, h, w) at timesteps (b,), whole or not.

        context: the text (b, n, width), or its `project`; a batch of 1 serves all pictures.
        y: the label vector (b, labels), or numbers of classes (b,), where the model takes one.
        Returns (b, outputs, h, w). Raises UsageError where y is missing.
        """
        time = self._time(timesteps, y, x.dtype)
        h = x.contiguous(memory_format=memory_format(x.device))
        across: list[Tensor] = []
        for stage in self.input_blocks:
            h = self._through(stage, h, time, context)
            across.append(h)
        if self.middle_block is not None:
            h = self._through(self.middle_block, h, time, context)
        for stage in self.output_blocks:
            skip = across.pop()
            if h.shape[-2:] != skip.shape[-2:]:
                # At odd sizes the enlarged map is a pixel too large; AUTOMATIC1111 mends it here,
                # after the convolution (diffusers before it).
                h = functional.interpolate(h, skip.shape[-2:], mode="nearest")
            h = self._through(stage, torch.cat([h, skip], dim=1), time, context)
        return self.out(h).contiguous()

    def _through(
        self, stage: nn.Module, h: Tensor, time: Tensor, context: Context | None
    ) -> Tensor:
        if not self.checkpointing or not torch.is_grad_enabled():
            return stage(h, time, context)
        from torch.utils.checkpoint import checkpoint  # pyright: ignore[reportUnknownVariableType]

        return cast(Tensor, checkpoint(stage, h, time, context, use_reentrant=False))

    def project(self, context: Tensor) -> KeysValues:
        """Keys and values of a text (b, n, width) for every layer: the same at every step."""
        return KeysValues(tuple(layer.project(context) for layer in self._readers()))

    def _readers(self) -> Iterator[CrossAttention]:
        """The layers that attend to the text, in order."""
        for block in self.modules():
            if isinstance(block, TransformerBlock):
                if block.cross_only:
                    yield block.attn1
                yield block.attn2

    def _time(self, timesteps: Tensor, y: Tensor | None, dtype: torch.dtype) -> Tensor:
        """The embedding of time and labels (b, 4 · width), activated as all blocks take it."""
        time = self.time_embed(timestep_embedding(timesteps, self.sizes.widths[0]).to(dtype))
        if self.sizes.labels or self.sizes.classes:
            if y is None:
                wanted = self.sizes.labels or 1
                raise UsageError(f"this UNet takes {wanted} label numbers per picture: give y")
            time = time + self.label_emb(y.to(dtype) if self.sizes.labels else y.long())
        return functional.silu(time)


class _Plan:
    """The blocks that follow from sizes."""

    def __init__(self, sizes: UNet, heads: int) -> None:
        self.sizes, self.time = sizes, 4 * sizes.widths[0]
        self.groups, self._heads = norm_groups(sizes.widths), heads

    def down(self) -> Iterator[Stage]:
        sizes, width = self.sizes, self.sizes.widths[0]
        yield Stage([Conv2d(sizes.inputs, width)])
        for index, depth in enumerate(sizes.depths):
            level = sizes.level(index)
            out = sizes.widths[level]
            yield Stage([self._residual(width, out), *self._attend(out, depth, level)])
            width = out
            if (index + 1) % sizes.blocks == 0 and level < len(sizes.widths) - 1:
                yield Stage([Downsample(width)])

    def middle(self) -> Stage | None:
        width, depth = self.sizes.widths[-1], self.sizes.middle
        if depth == NO_MIDDLE:
            return None
        if depth == NO_ATTENTION:
            return Stage([self._residual(width, width)])
        attention = [*self._attend(width, depth, -1)] or [nn.Identity()]
        return Stage([self._residual(width, width), *attention, self._residual(width, width)])

    def up(self) -> Iterator[Stage]:
        sizes, width, across = self.sizes, self.sizes.widths[-1], skips(self.sizes)
        for index, depth in enumerate(sizes.rises):
            level = len(sizes.widths) - 1 - index // (sizes.blocks + 1)
            out = sizes.widths[level]
            layers = [self._residual(width + across.pop(), out), *self._attend(out, depth, level)]
            if level and index % (sizes.blocks + 1) == sizes.blocks:
                layers.append(Upsample(out))
            yield Stage(layers)
            width = out

    def _residual(self, inputs: int, outputs: int) -> nn.Module:
        return ResidualBlock(inputs, outputs, self.time, self.groups)

    def _attend(self, width: int, depth: int, level: int) -> Iterator[nn.Module]:
        sizes = self.sizes
        if depth:
            yield SpatialTransformer(
                width,
                sizes.context,
                self.heads(width),
                depth=depth,
                groups=self.groups,
                linear=sizes.linear_projection,
                cross_only=level >= 0 and any(sizes.cross_only[level : level + 1]),
            )

    def heads(self, width: int) -> int:
        """Heads are not in the weights; x4-upscaler has 8 though its projections are linear."""
        if self._heads:
            return self._heads
        if self.sizes.linear_projection and not self.sizes.classes:
            return 1 if width % 64 else width // 64
        return math.gcd(8, width)
