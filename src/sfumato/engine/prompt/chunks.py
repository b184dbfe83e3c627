"""Chunks: the 75 tokens that a text encoder takes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sfumato.engine.prompt.attention import BREAK, BREAK_WEIGHT, Fragment
from sfumato.engine.prompt.tokens import BOS, COMMA, EOS, PAD, Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

ROOM = 75
"""tokens of a chunk without the marks of its start and end"""


class EmbeddingLike(Protocol):
    """A learned word: vectors that stand in place of its tokens' own."""

    @property
    def name(self) -> str:
        """What it is called in a prompt."""
        ...

    @property
    def vectors(self) -> int:
        """How many tokens it takes the room of."""
        ...

    def rows(self, width: int) -> Tensor:
        """Its vectors (n, width) for the text encoder of that width."""
        ...


class EmbeddingTable(Protocol):
    """The learned words that a prompt may use."""

    def match(self, ids: Sequence[int], position: int) -> tuple[EmbeddingLike, int] | None:
        """The longest name that begins at `position`, with its length in tokens."""
        ...


class NoEmbeddings:
    """A table without words."""

    def match(self, ids: Sequence[int], position: int) -> tuple[EmbeddingLike, int] | None:
        """Nothing."""
        return None


class Placed(NamedTuple):
    """A learned word in a chunk."""

    position: int
    """of its first vector among the chunk's 77 tokens"""
    embedding: EmbeddingLike


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a text encoder is given at once: 77 tokens, and how much each of them counts."""

    ids: tuple[int, ...]
    """start, 75 tokens, end; filled up with the mark of the end"""
    weights: tuple[float, ...]
    """as many; 1 for the marks and for what is filled up"""
    placed: tuple[Placed, ...] = ()


@dataclass(slots=True)
class _Open:
    """A chunk that is being filled."""

    ids: list[int] = field(default_factory=list[int])
    weights: list[float] = field(default_factory=list[float])
    placed: list[Placed] = field(default_factory=list[Placed])
    comma: int | None = None
    """position of the last comma"""

    def add(self, ids: Sequence[int], weight: float) -> None:
        self.ids += ids
        self.weights += [weight] * len(ids)

    def closed(self) -> Chunk:
        fill = ROOM - len(self.ids)
        ids = (BOS, *self.ids, *[EOS] * fill, EOS)
        return Chunk(ids, (1.0, *self.weights, *[1.0] * fill, 1.0), tuple(self.placed))

    def cut(self, start: int) -> _Open:
        """What stands from `start` on, as a new chunk; learned words move with their tokens."""
        moved = [Placed(p.position - start, p.embedding) for p in self.placed if p.position > start]
        rest = _Open(self.ids[start:], self.weights[start:], moved)
        del self.ids[start:], self.weights[start:]
        self.placed = [p for p in self.placed if p.position <= start]
        return rest


def empty_chunk() -> Chunk:
    """A chunk without a word: what shorter texts are filled up with."""
    return _Open().closed()


def chunks(
    fragments: Sequence[Fragment],
    tokenizer: Tokenizer,
    embeddings: EmbeddingTable | None = None,
    *,
    comma_backtrack: int = 20,
) -> tuple[Chunk, ...]:
    """`fragments` in chunks; at least one.

    Each fragment is tokenised by itself. A chunk that is full is closed; where its last comma is at
    most `comma_backtrack` tokens back (0: never), what follows the comma moves on to the next one.
    A learned word never straddles two chunks; one of more than 75 vectors is cut. The rules are
    those of AUTOMATIC1111's web UI, but that there a learned word that moves on loses its vectors.
    """
    filling = _Filling(embeddings or NoEmbeddings(), comma_backtrack)
    for text, weight in fragments:
        if text == BREAK and weight == BREAK_WEIGHT:
            filling.close()
        else:
            filling.take(tokenizer.encode(text), weight)
    if filling.chunk.ids or not filling.done:
        filling.close()
    return tuple(filling.done)


class _Filling:
    """Chunks that are done, and the one that is being filled."""

    def __init__(self, embeddings: EmbeddingTable, comma_backtrack: int) -> None:
        self.embeddings = embeddings
        self.backtrack = comma_backtrack
        self.done: list[Chunk] = []
        self.chunk = _Open()

    def close(self) -> None:
        """Begin a new chunk."""
        self.done.append(self.chunk.closed())
        self.chunk = _Open()

    def take(self, ids: Sequence[int], weight: float) -> None:
        """Add the tokens of one fragment."""
        position = 0
        while position < len(ids):
            self._make_room(ids[position])
            found = self.embeddings.match(ids, position)
            if found is None:
                self.chunk.add(ids[position : position + 1], weight)
                position += 1
            else:
                self._place(found[0], weight)
                position += found[1]

    def _make_room(self, token: int) -> None:
        chunk = self.chunk
        full = len(chunk.ids) >= ROOM
        if full and self._near(chunk) and token != COMMA:
            assert chunk.comma is not None
            rest = chunk.cut(chunk.comma + 1)
            self.close()
            self.chunk = rest
        elif full:
            self.close()
        elif token == COMMA:
            chunk.comma = len(chunk.ids)

    def _near(self, chunk: _Open) -> bool:
        """True where the last comma is near enough to break the text there."""
        return chunk.comma is not None and len(chunk.ids) - chunk.comma <= self.backtrack

    def _place(self, embedding: EmbeddingLike, weight: float) -> None:
        vectors = min(embedding.vectors, ROOM)
        if len(self.chunk.ids) + vectors > ROOM:
            self.close()
        self.chunk.placed.append(Placed(len(self.chunk.ids) + 1, embedding))
        self.chunk.add([PAD] * vectors, weight)
