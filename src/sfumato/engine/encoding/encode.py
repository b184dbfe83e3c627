"""The encoding of a prompt: every text that it is in the course of a pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sfumato.catalogue.trees.text import TOKENS
from sfumato.engine.encoding.encoded import Encoding
from sfumato.engine.encoding.readings import OPENCLIP, READINGS, Reading
from sfumato.engine.encoding.vector import sizes_told, vectors
from sfumato.engine.model import Model, TextEncoder
from sfumato.engine.prompt.attention import parse_attention
from sfumato.engine.prompt.chunks import ROOM, Chunk, EmbeddingTable, chunks, empty_chunk
from sfumato.engine.prompt.tokens import EOS, Style, Tokenizer
from sfumato.engine.request import Emphasis
from sfumato.errors import Unsupported, UsageError


@dataclass(frozen=True, slots=True)
class _Wish:
    """All that decides what a text becomes, but for the text and the model: see `encode`."""

    emphasis: Emphasis
    clip_skip: int
    comma_backtrack: int
    embeddings: EmbeddingTable | None
    skip_sdxl: bool


def encode(
    model: Model,
    texts: Sequence[str],
    *,
    emphasis: Emphasis = "Original",
    clip_skip: int = 1,
    comma_backtrack: int = 20,
    embeddings: EmbeddingTable | None = None,
    size: tuple[int, int] = (1024, 1024),
    crop: tuple[int, int] = (0, 0),
    negative: bool = False,
    skip_sdxl: bool = False,
) -> list[Encoding]:
    """`texts` as `model` reads them, all of one length: the shorter ones get empty chunks.

    texts: all that one prompt is in the course of a pass, in order; emphasis is evened out over
    them together, as in AUTOMATIC1111's web UI.
    clip_skip: 1 is the whole text encoder. SD2 and the refiner have no use for it, SDXL's first
    encoder only with `skip_sdxl` (A1111's `sdxl_clip_l_skip`).
    size: width and height of the picture being made, crop: top and left, in pixels, for SDXL's
    vector. negative: SDXL reads an empty negative prompt as zeros, and its refiner is told a lower
    score.

    Raises UsageError where clip skip leaves no layer, Unsupported for a text encoder that has not
    CLIP's vocabulary.
    """
    wish = _Wish(emphasis, clip_skip, comma_backtrack, embeddings, skip_sdxl)
    different = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    places = [different[text] for text in texts]
    states, pooled = _states(model, list(different), places, wish)
    if pooled is not None and negative and not any(texts):
        states, pooled = torch.zeros_like(states), torch.zeros_like(pooled)
    told = sizes_told(model, size, crop, negative)
    vector = None if pooled is None else vectors(model, pooled, told)
    made = [
        Encoding(states[place, None], None if vector is None else vector[place, None])
        for place in different.values()
    ]
    return [made[place] for place in places]


def _states(
    model: Model, texts: Sequence[str], places: Sequence[int], wish: _Wish
) -> tuple[Tensor, Tensor | None]:
    """Joined states (b, 77 n, width), and the pooled state (b, width) where the family has one.

    places: for each text of the prompt its index in `texts`, which holds each text once.
    """
    readings = READINGS[model.family]
    lines = [_lines(texts, reading.style, wish) for reading in readings]
    length = max(len(line) for found in lines for line in found)
    joined: list[Tensor] = []
    pooled: Tensor | None = None
    for network, reading, found in zip(model.encoders, readings, lines, strict=True):
        _check(model, network)
        states: list[Tensor] = []
        for place in range(length):
            batch = [line[place] if place < len(line) else empty_chunk() for line in found]
            ids = _ids(batch, reading.pad, model.placement.device)
            hidden = network.hidden(_embedded(network, ids, batch))
            if reading.pooled and not place:
                pooled = network.pool(hidden[-1], ids)
            states.append(_emphasized(_state(network, hidden, reading, wish), batch, places, wish))
        joined.append(torch.cat(states, dim=1))
    return torch.cat(joined, dim=-1), pooled


def _lines(texts: Sequence[str], style: Style, wish: _Wish) -> list[tuple[Chunk, ...]]:
    """Each text in chunks."""
    tokenizer, backtrack = Tokenizer(style), wish.comma_backtrack
    parsed = [parse_attention(text, wish.emphasis) for text in texts]
    return [chunks(p, tokenizer, wish.embeddings, comma_backtrack=backtrack) for p in parsed]


def _check(model: Model, network: TextEncoder) -> None:
    if network.sizes.vocabulary < TOKENS:
        raise Unsupported(
            model.path,
            f"its text encoder knows {network.sizes.vocabulary} tokens, expected CLIP's {TOKENS}",
        )
    if network.sizes.positions < ROOM + 2:
        raise Unsupported(
            model.path,
            f"its text encoder has places for {network.sizes.positions} tokens, expected CLIP's "
            f"{ROOM + 2}",
        )


def _ids(batch: Sequence[Chunk], pad: int, device: torch.device) -> Tensor:
    """Tokens (b, 77), with `pad` after the first mark of an end."""
    rows = [
        chunk.ids[: (end := chunk.ids.index(EOS) + 1)] + (pad,) * (len(chunk.ids) - end)
        if pad != EOS
        else chunk.ids
        for chunk in batch
    ]
    return torch.tensor(rows, device=device)


def _embedded(network: TextEncoder, ids: Tensor, batch: Sequence[Chunk]) -> Tensor:
    """Rows of the token table (b, 77, width), with those of learned words in their places."""
    embedded = network.embed(ids)
    for row, chunk in enumerate(batch):
        for position, embedding in chunk.placed:
            vectors = embedding.rows(network.sizes.width)[: ROOM + 1 - position]
            embedded[row, position : position + len(vectors)] = vectors.to(embedded)
    return embedded


def _state(network: TextEncoder, hidden: Sequence[Tensor], reading: Reading, wish: _Wish) -> Tensor:
    """The state (b, 77, width) that is read."""
    back = reading.back
    if reading.skips == "always" or (reading.skips == "asked" and wish.skip_sdxl):
        back = wish.clip_skip
    if not 1 <= back <= len(hidden):
        raise UsageError(
            f"clip skip {back} is not between 1 and {len(hidden)}, all that a text encoder of "
            f"{len(hidden) - 1} layers has"
        )
    if reading is OPENCLIP and not network.sizes.projection:
        back = 1  # diffusers keeps neither SD2's projection nor the layer that is not read
    return network.norm(hidden[-back]) if reading.normed else hidden[-back]


def _emphasized(
    state: Tensor, batch: Sequence[Chunk], places: Sequence[int], wish: _Wish
) -> Tensor:
    """`state` (b, 77, width) times the weights of its tokens.

    "Original" then restores the mean, taken over all texts of the prompt, one that comes twice
    counting twice: the scalar is wild where weights bring the mean near 0 (SDXL's known artefact).
    """
    weights = torch.tensor([chunk.weights for chunk in batch], device=state.device)
    if wish.emphasis in ("Ignore", "None") or bool((weights == 1).all()):
        return state
    weighted = state.float() * weights[..., None]
    if wish.emphasis == "Original":
        before = state.float().mean(dim=(1, 2))[list(places)].mean()
        after = weighted.mean(dim=(1, 2))[list(places)].mean()
        weighted = weighted * torch.where(after == 0, 1.0, before / after)
    return weighted.to(state.dtype)
