"""The text encoders of SD2 (OpenCLIP-H) and SDXL (bigG), with OpenCLIP's own names."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sfumato.catalogue.trees.text import Text
from sfumato.engine.networks.clip import at_the_end, causal_attention, text_heads
from sfumato.engine.networks.in_place import add
from sfumato.engine.networks.table import Table, spread


class PackedAttention(nn.Module):
    """Causal attention with one matrix for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, width) → the same."""
        q, k, v = functional.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        return self.out_proj(causal_attention(q, k, v, self.heads))


class MLP(nn.Module):
    """The feed-forward layers."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, inner)
        self.c_proj = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, width) → the same."""
        return self.c_proj(functional.gelu(self.c_fc(x)))


class Block(nn.Module):
    """One transformer layer."""

    def __init__(self, sizes: Text) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(sizes.width)
        self.attn = PackedAttention(sizes.width, text_heads(sizes))
        self.ln_2 = nn.LayerNorm(sizes.width)
        self.mlp = MLP(sizes.width, sizes.inner)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, width) → the same."""
        x = add(self.attn(self.ln_1(x)), x)
        return add(self.mlp(self.ln_2(x)), x)


class Transformer(nn.Module):
    """The layers."""

    def __init__(self, sizes: Text) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(sizes) for _ in range(sizes.layers))


class OpenCLIPText(nn.Module):
    """CLIP's text half as OpenCLIP trained it."""

    def __init__(self, sizes: Text) -> None:
        super().__init__()
        self.sizes = sizes
        self.positional_embedding = spread(sizes.positions, sizes.width, deviation=0.01)
        self.token_embedding = Table(sizes.vocabulary, sizes.width)
        self.transformer = Transformer(sizes)
        self.ln_final = nn.LayerNorm(sizes.width)
        if sizes.projection:
            self.text_projection = spread(
                sizes.width, sizes.projection, deviation=sizes.width**-0.5
            )
            self.logit_scale = nn.Parameter(torch.zeros(()))
            """part of every file; of use only when CLIP is trained"""

    def embed(self, ids: Tensor) -> Tensor:
        """Rows of the token table for ids (b, n): (b, n, width), before places are added."""
        return self.token_embedding(ids)

    def hidden(self, embedded: Tensor) -> tuple[Tensor, ...]:
        """States (b, n, width): what enters the first layer, then after each of the layers."""
        states = [embedded + self.positional_embedding[: embedded.shape[1]]]
        for block in self.transformer.resblocks:
            states.append(block(states[-1]))
        return tuple(states)

    def norm(self, state: Tensor) -> Tensor:
        """The final LayerNorm of a state (b, n, width)."""
        return self.ln_final(state)

    def pool(self, state: Tensor, ids: Tensor) -> Tensor:
        """The last of `hidden`, normed here, at the end of the text ids (b, n), projected.

        (b, projection), or (b, width) where there is no projection.
        """
        pooled = self.norm(at_the_end(state, ids))
        return pooled @ self.text_projection if self.sizes.projection else pooled
