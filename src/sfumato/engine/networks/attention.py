"""The UNet's attention: to the picture itself, and to the text."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sfumato.engine.networks.in_place import add, multiply

ContextChange = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(input of to_k, input of to_v), both (b, n, width) → the same changed: hypernetworks"""


SLAB = 1024
"""tokens that go through a feed-forward layer at once on the CPU: what lies between its layers is
four times as wide, and stays in memory that the process has. Measured for 2 × 4096 tokens of width
320 (one core, float32): 163 ms, whole 208, of 128 tokens 170; widths 640 and 1280 gain nothing and
lose nothing, and 75 MB less are held"""


class KeysValues(NamedTuple):
    """A text as the keys and values of every layer that reads it."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    """(b, heads, n, width / heads) each, by `CrossAttention.place`; b may be 1 for any batch"""


Context = Tensor | KeysValues
"""a text's encoding (b, n, width), or what the layers make of it"""


def split_heads(x: Tensor, heads: int) -> Tensor:
    """A view of (b, n, width) as (b, heads, n, width / heads)."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def to_tokens(x: Tensor) -> Tensor:
    """Pixels (b, c, h, w) as tokens (b, h·w, c): a view of a channels-last picture."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def to_pixels(tokens: Tensor, like: Tensor) -> Tensor:
    """Tokens (b, h·w, c) as a channels-last picture of the size of `like`."""
    rows, columns = like.shape[2:]
    return tokens.view(len(tokens), rows, columns, -1).permute(0, 3, 1, 2)


class CrossAttention(nn.Module):
    """Multi-head attention of a picture's pixels to themselves or to a text."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context, width, bias=False)
        self.to_v = nn.Linear(context, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width))
        self.changes: tuple[ContextChange, ...] = ()
        """applied in order to what is attended to, before it is projected"""
        self.place = -1
        """number among the layers that read the text; -1 for self-attention"""

    def project(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (b, heads, n, width / heads) of (b, n, context)."""
        for_keys, for_values = context, context
        for change in self.changes:
            for_keys, for_values = change(for_keys, for_values)
        return self._split(self.to_k(for_keys)), self._split(self.to_v(for_values))

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        """x (b, n, width) attends to `context`, or to itself where that is None."""
        if isinstance(context, KeysValues):
            keys, values = context.layers[self.place]
        else:
            keys, values = self.project(x if context is None else context)
        if keys.shape[0] != x.shape[0]:
            keys, values = (t.expand(x.shape[0], -1, -1, -1) for t in (keys, values))
        out = functional.scaled_dot_product_attention(self._split(self.to_q(x)), keys, values)
        return self.to_out(out.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return split_heads(x, self.heads)


class GEGLU(nn.Module):
    """A linear layer gated by another (Shazeer, 2020, https://arxiv.org/abs/2002.05202)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, width) → (b, n, inner)."""
        if torch.is_grad_enabled():
            value, gate = self.proj(x).chunk(2, dim=-1)
            return value * functional.gelu(gate)
        weights, biases = self.proj.weight.chunk(2), self.proj.bias.chunk(2)
        gate = functional.gelu(functional.linear(x, weights[1], biases[1]))
        return multiply(gate, functional.linear(x, weights[0], biases[0]))


class FeedForward(nn.Module):
    """What follows attention in a transformer block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            GEGLU(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, width) → the same."""
        return self.net(x)


class TransformerBlock(nn.Module):
    """Self-attention, attention to the text and a feed-forward layer."""

    def __init__(self, width: int, context: int, heads: int, *, cross_only: bool = False) -> None:
        super().__init__()
        self.cross_only = cross_only
        self.attn1 = CrossAttention(width, context if cross_only else width, heads)
        self.attn2 = CrossAttention(width, context, heads)
        self.ff = FeedForward(width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x: Tensor, context: Context | None) -> Tensor:
        """Change (b, n, width), which must be the caller's own."""
        x = add(x, self.attn1(self.norm1(x), context if self.cross_only else None))
        x = add(x, self.attn2(self.norm2(x), context))
        return self._feed(x)

    def _feed(self, x: Tensor) -> Tensor:
        """The feed-forward layer, a slab of tokens at a time where memory is the processor's."""
        if torch.is_grad_enabled() or x.device.type != "cpu" or torch.compiler.is_compiling():
            return add(x, self.ff(self.norm3(x)))
        tokens = x.view(-1, x.shape[-1])
        for start in range(0, len(tokens), SLAB):
            slab = tokens[start : start + SLAB]
            slab.add_(self.ff(self.norm3(slab)))
        return x


class SpatialTransformer(nn.Module):
    """Transformer blocks over the pixels of a picture."""

    def __init__(
        self,
        width: int,
        context: int,
        heads: int,
        *,
        depth: int,
        groups: int,
        linear: bool,
        cross_only: bool = False,
    ) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in = _projection(width, linear=linear)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(width, context, heads, cross_only=cross_only) for _ in range(depth)
        )
        self.proj_out = _projection(width, linear=linear)

    def forward(self, x: Tensor, context: Context | None) -> Tensor:
        """(b, width, h, w) → the same."""
        tokens = _project(self.proj_in, to_tokens(self.norm(x)))
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        tokens = _project(self.proj_out, tokens)
        return add(to_pixels(tokens, x), x)


def _projection(width: int, *, linear: bool) -> nn.Linear | nn.Conv2d:
    """SD1 has 1×1 convolutions where later models have linear layers."""
    return nn.Linear(width, width) if linear else nn.Conv2d(width, width, 1)


def _project(layer: nn.Linear | nn.Conv2d, tokens: Tensor) -> Tensor:
    """Either kind as a product: a 1×1 convolution is one, and its bytes are the same."""
    weight = layer.weight
    return functional.linear(tokens, weight.flatten(1) if weight.dim() == 4 else weight, layer.bias)
