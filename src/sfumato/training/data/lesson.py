"""The pictures of a run in the order and the size in which they are learned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sfumato.errors import UsageError
from sfumato.training.data.arrays import read_arrays
from sfumato.training.data.buckets import Fit, cut, fit
from sfumato.training.data.captions import filled, read_template
from sfumato.training.data.folder import find_pictures
from sfumato.training.data.holding import held_out
from sfumato.training.data.items import Found, Item
from sfumato.training.data.order import Draw, Order
from sfumato.training.randomness import uniform
from sfumato.training.settings import Data, Run, word_of


class Lesson:
    """What is learned from, arranged."""

    def __init__(self, run: Run, resolution: int, found: Found | None = None) -> None:
        """found: what is learned; without it what is in the folder, but for what is held out."""
        self.settings = run.data
        self.seed = run.seed
        self.resolution = run.data.resolution or resolution
        self.step = run.data.bucket_step or (64 if self.resolution >= 256 else 8)
        found = found or find(run.data, run.data.folder, word=word_of(run))
        found, self.held = held_out(found, run.data.hold_out, run.seed)
        beside = find(run.data, run.data.regularisation, regularisation=True)
        self.items = (*found.items, *_matched(beside.items, found.items))
        self.fits = [self._fit(item) for item in self.items]
        self.notes = (
            *found.notes, *(f"regularisation: {note}" for note in beside.notes), *self._sizes(),
        )  # fmt: skip
        repeats = [item.repeats * run.data.repeats for item in self.items]
        self.order = Order([fit.bucket for fit in self.fits], repeats, run.batch, run.seed)

    def _fit(self, item: Item) -> Fit:
        return fit(
            item.size, self.resolution, self.step,
            square=not self.settings.buckets, upscale=self.settings.upscale,
        )  # fmt: skip

    def _sizes(self) -> Iterator[str]:
        """At which sizes the pictures are learned."""
        counts = Counter(fit.bucket for fit in self.fits).most_common()
        sizes = ", ".join(f"{w}×{h} ({count})" for (w, h), count in counts[:6])
        yield f"learned at {sizes}{' …' if len(counts) > 6 else ''}"
        small = sum(count for (w, h), count in counts if 2 * w * h < self.resolution**2)
        if small and not self.settings.upscale:
            yield (
                f"{small} of them are much smaller than {self.resolution}×{self.resolution}: "
                "data.upscale enlarges them"
            )

    @property
    def digest(self) -> str:
        """Identity of the pictures, their captions and their sizes."""
        text = [f"{i.digest} {i.captions} {f}" for i, f in zip(self.items, self.fits, strict=True)]
        return blake2b("\n".join(text).encode(), digest_size=16).hexdigest()

    def flipped(self, draw: Draw) -> bool:
        """True where this draw is mirrored."""
        return self.settings.flip and uniform(self.seed, "flip", draw.sample) < 0.5

    def picture(self, draw: Draw) -> Tensor:
        """The picture of one draw: (3, h, w) in [-1, 1], scaled, cropped and mirrored."""
        across = down = 0.5
        if self.settings.crop == "random":
            across = uniform(self.seed, "crop", draw.sample, 0)
            down = uniform(self.seed, "crop", draw.sample, 1)
        return self.still(draw.item, across=across, down=down, flip=self.flipped(draw))

    def still(
        self, item: int, *, across: float = 0.5, down: float = 0.5, flip: bool = False
    ) -> Tensor:
        """One item's picture, cut where it is said."""
        picture = cut(self.items[item].load(), self.fits[item], across=across, down=down)
        pixels = to_tensor(np.asarray(picture))
        return pixels.flip(-1) if flip else pixels


def to_tensor(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """Bytes (h, w, 3) as numbers (3, h, w) in [-1, 1]."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1  # pyright: ignore


def find(
    settings: Data, place: str, *, word: str | None = None, regularisation: bool = False
) -> Found:
    """The pictures of a folder or an array file; none for no place at all.

    word: what `[name]` is in a template; the trigger if it is not given.
    """
    if not place:
        if regularisation:
            return Found((), ())
        raise UsageError("say where the pictures are: data.folder")
    path, templated = Path(place), bool(settings.template) and not regularisation
    trigger = "" if regularisation or templated else settings.trigger
    read = read_arrays if path.is_file() else find_pictures
    found = read(path, trigger=trigger, regularisation=regularisation)
    if not templated:
        return found
    lines, name = read_template(Path(settings.template)), word or settings.trigger
    items = (replace(i, captions=filled(lines, i.captions, name)) for i in found.items)
    return Found(tuple(items), (*found.notes, f"captions in {len(lines)} lines of a template"))


def _matched(beside: Sequence[Item], items: Sequence[Item]) -> Sequence[Item]:
    """Regularisation pictures, as many in an epoch as there are others: kohya trims or repeats."""
    wanted = sum(item.repeats for item in items) if beside else 0
    return [replace(beside[i % len(beside)], repeats=1) for i in range(wanted)]
