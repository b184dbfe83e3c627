"""What the UNet is told in the course of a pass: prompts split, scheduled and encoded."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfumato.engine.encoding import Encoding, encode, lengthened, match_lengths
from sfumato.engine.loading.cache import Recent
from sfumato.engine.prompt.conjunction import Weighted, split_and
from sfumato.engine.prompt.schedule import Scheduled, schedule
from sfumato.operations.applied import Applied

if TYPE_CHECKING:
    from sfumato.engine.adapters.embeddings import EmbeddingTable
    from sfumato.engine.model import Model
    from sfumato.engine.request import Request

Timed = tuple[tuple[int, Encoding], ...]
"""encodings, each with the last call of the denoiser that it is for; the last one goes on"""

Composed = tuple[tuple[float, Timed], ...]
"""the parts of a prompt that AND joins, each with its weight"""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Both prompts, ready to be attended to."""

    positive: Composed
    negative: Timed


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of the denoiser, of which second-order samplers make two in a step."""

    first: int
    """in the first pass"""
    second: int | None = None
    """in the second, when it is the second that is asked for"""


Encoded = tuple[tuple[Encoding, ...], tuple[Applied, ...], tuple["Word", ...]]


@dataclass(frozen=True, slots=True)
class Word:
    """An embedding that a prompt called."""

    name: str
    path: str
    sha256: str


class Encoder:
    """Encodes the prompts of one model, each text once as long as nothing about it changes."""

    def __init__(self, model: Model, limit: int = 64) -> None:
        """Keep the encodings of `limit` texts."""
        self._model = model
        self._kept: Recent[Hashable, Encoded] = Recent(limit)
        self.reports: dict[str, Applied] = {}
        """what became of the embeddings that were called since `forget`, by name"""
        self.words: dict[str, Word] = {}
        """those that are in use"""

    def forget(self) -> None:
        """Begin the lists of embeddings anew."""
        self.reports, self.words = {}, {}

    def shrink(self) -> None:
        """Let go of everything that is kept."""
        self._kept.shrink()

    def conditions(
        self,
        prompt: str,
        negative: str,
        calls: Calls,
        request: Request,
        *,
        size: tuple[int, int],
        words: EmbeddingTable,
        key: Hashable,
    ) -> Conditions:
        """Both prompts of a pass.

        size: width and height of the picture that this pass makes. words: the embeddings, key: what
        else changes the text encoders, as `Attached` says it.
        """

        def encoded(text: str, *, negative: bool = False) -> tuple[Scheduled, ...]:
            return _scheduled(text, calls, request)

        def read(texts: Sequence[str], *, negative: bool = False) -> tuple[Encoding, ...]:
            return self._read(
                tuple(texts), request, size=size, words=words, key=key, negative=negative
            )

        parts = self._parts(prompt)
        plans = [encoded(part.text) for part in parts]
        against = encoded(negative)
        sides = [read([text for _, text in plan]) for plan in plans]
        other = read([text for _, text in against], negative=True)
        flat = lengthened([e for side in sides for e in side])
        if request.pad != "none":
            empty = read([""])[0]
            flat, padded = match_lengths(flat, other, pad=request.pad, empty=empty)
            other = tuple(padded)
        found = iter(flat)
        positive = tuple(
            (part.weight, tuple((end, next(found)) for end, _ in plan))
            for part, plan in zip(parts, plans, strict=True)
        )
        negatives = zip(against, other, strict=True)
        return Conditions(positive, tuple((end, e) for (end, _), e in negatives))

    def _parts(self, prompt: str) -> tuple[Weighted, ...]:
        """InstructPix2Pix weighs a picture where others weigh the parts of AND."""
        if self._model.variant == "ip2p":
            return (Weighted(prompt, 1.0),)
        return split_and(prompt)

    def _read(
        self,
        texts: tuple[str, ...],
        request: Request,
        *,
        size: tuple[int, int],
        words: EmbeddingTable,
        key: Hashable,
        negative: bool,
    ) -> tuple[Encoding, ...]:
        skips = (request.clip_skip, request.skip_sdxl)
        wish = (request.emphasis, *skips, request.comma_backtrack)
        told = (size, request.sdxl_crop, negative) if self._model.unet_sizes.labels else ()
        encodings, reports, called = self._kept.get(
            (texts, wish, told, key),
            lambda: self._encode(texts, request, size=size, words=words, negative=negative),
        )
        self.reports |= {report.name: report for report in reports}
        self.words |= {word.name: word for word in called}
        return encodings

    def _encode(
        self,
        texts: tuple[str, ...],
        request: Request,
        *,
        size: tuple[int, int],
        words: EmbeddingTable,
        negative: bool,
    ) -> Encoded:
        own = words.for_prompt()  # a table that nobody has asked yet
        encodings = encode(
            self._model,
            texts,
            emphasis=request.emphasis,
            clip_skip=request.clip_skip,
            comma_backtrack=request.comma_backtrack,
            embeddings=own,
            size=size,
            crop=request.sdxl_crop,
            negative=negative,
            skip_sdxl=request.skip_sdxl,
        )
        called = tuple(Word(e.name, str(e.path), e.sha256) for e in own.used)
        return tuple(encodings), own.reports(), called


def _scheduled(text: str, calls: Calls, request: Request) -> tuple[Scheduled, ...]:
    return schedule(text, calls.first, hires_steps=calls.second, old=request.old_schedules)
