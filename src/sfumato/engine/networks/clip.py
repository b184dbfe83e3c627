"""The text encoder of SD1 (CLIP-L), with the names that transformers gives it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sfumato.catalogue.trees.text import Text
from sfumato.engine.networks.attention import split_heads
from sfumato.engine.networks.in_place import add, multiply
from sfumato.engine.networks.table import Table


def text_heads(sizes: Text) -> int:
    """Heads of a text encoder: one for each 64 channels; 1 where these do not come out even."""
    return 1 if sizes.width % 64 else sizes.width // 64


def causal_attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attention of each token to those up to itself; all (b, n, width)."""
    q, k, v = (split_heads(t, heads) for t in (q, k, v))
    out = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return out.transpose(1, 2).flatten(2)


def at_the_end(state: Tensor, ids: Tensor) -> Tensor:
    """The rows of state (b, n, width) where the text ends: at the first of its highest ids."""
    return state[torch.arange(len(state), device=state.device), ids.to(torch.int).argmax(-1)]


class Embeddings(nn.Module):
    """The tables of tokens and of places."""

    def __init__(self, sizes: Text) -> None:
        super().__init__()
        self.token_embedding = Table(sizes.vocabulary, sizes.width)
        self.position_embedding = Table(sizes.positions, sizes.width)


class SelfAttention(nn.Module):
    """Causal attention with a layer each for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, width) → the same."""
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        return self.out_proj(causal_attention(q, k, v, self.heads))


class MLP(nn.Module):
    """The feed-forward layers, with the sigmoid approximation of GELU that OpenAI trained with."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, width) → the same."""
        h: Tensor = self.fc1(x)
        return self.fc2(multiply(torch.sigmoid(1.702 * h), h))


class Layer(nn.Module):
    """One transformer layer."""

    def __init__(self, sizes: Text) -> None:
        super().__init__()
        self.self_attn = SelfAttention(sizes.width, text_heads(sizes))
        self.layer_norm1 = nn.LayerNorm(sizes.width)
        self.mlp = MLP(sizes.width, sizes.inner)
        self.layer_norm2 = nn.LayerNorm(sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, width) → the same."""
        x = add(self.self_attn(self.layer_norm1(x)), x)
        return add(self.mlp(self.layer_norm2(x)), x)


class Encoder(nn.Module):
    """The layers."""

    def __init__(self, sizes: Text) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))


class TextModel(nn.Module):
    """All but the projection."""

    def __init__(self, sizes: Text) -> None:
        super().__init__()
        self.embeddings = Embeddings(sizes)
        self.encoder = Encoder(sizes)
        self.final_layer_norm = nn.LayerNorm(sizes.width)


class CLIPText(nn.Module):
    """CLIP's text half as OpenAI trained it."""

    def __init__(self, sizes: Text) -> None:
        super().__init__()
        self.sizes = sizes
        self.text_model = TextModel(sizes)
        if sizes.projection:
            self.text_projection = nn.Linear(sizes.width, sizes.projection, bias=False)

    def embed(self, ids: Tensor) -> Tensor:
        """Rows of the token table for ids (b, n): (b, n, width), before places are added."""
        return self.text_model.embeddings.token_embedding(ids)

    def hidden(self, embedded: Tensor) -> tuple[Tensor, ...]:
        """States (b, n, width): what enters the first layer, then after each of the layers."""
        places = self.text_model.embeddings.position_embedding.weight
        states = [embedded + places[: embedded.shape[1]]]
        for layer in self.text_model.encoder.layers:
            states.append(layer(states[-1]))
        return tuple(states)

    def norm(self, state: Tensor) -> Tensor:
        """The final LayerNorm of a state (b, n, width)."""
        return self.text_model.final_layer_norm(state)

    def pool(self, state: Tensor, ids: Tensor) -> Tensor:
        """The last of `hidden`, normed here, at the end of the text ids (b, n), projected.

        (b, projection), or (b, width) where there is no projection.
        """
        pooled = self.norm(at_the_end(state, ids))
        return self.text_projection(pooled) if self.sizes.projection else pooled
