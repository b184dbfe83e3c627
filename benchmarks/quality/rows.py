"""Rows of pictures with their captions, as the starter's array files hold them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from sfumato.containers.arrays import array
from sfumato.containers.open import open_model
from sfumato.training.data.arrays import CAPTIONS, IMAGES, NAMES
from starter.colours import WORDS

Images = NDArray[np.uint8]
"""(pictures, height, width, 3)"""

Told = tuple[int, str]
"""a row, and the word that its picture was made with"""


@dataclass(frozen=True, slots=True)
class Rows:
    """Pictures, each with its captions and the name that its maker gave it."""

    images: Images
    captions: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, chosen: Sequence[int]) -> Rows:
        """Some of them."""
        return Rows(
            self.images[list(chosen)],
            tuple(self.captions[row] for row in chosen),
            tuple(self.names[row] for row in chosen),
        )

    @property
    def codes(self) -> tuple[str, ...]:
        """The code points of each row's subject."""
        return tuple(name.split()[0].rstrip(",") for name in self.names)

    def plain(self, style: str) -> Rows:
        """One picture of each subject, on white paper and in its own colours."""
        return self[[row for row, name in enumerate(self.names) if _parts(name)[1:] == [style]]]

    def recoloured(self) -> list[Told]:
        """Pictures on white paper in another colour than their own, with that colour."""
        parted = [(row, _parts(name)) for row, name in enumerate(self.names)]
        return [(row, p[2]) for row, p in parted if len(p) == 3 and p[2] in WORDS]

    def grounded(self) -> list[Told]:
        """Pictures on coloured paper, with its colour."""
        parted = [(row, name.rpartition(" on ")) for row, name in enumerate(self.names)]
        return [(row, word) for row, (_, on, word) in parted if on]

    def called(self, caption: str) -> list[int]:
        """Rows with this caption, in whatever style."""
        wanted = {caption, f"{caption}, noto style"}
        return [row for row, texts in enumerate(self.captions) if wanted & set(texts)]


def _parts(name: str) -> list[str]:
    """Code, style and colour of a picture on white paper; other names give other counts."""
    return name.split(" ")


@cache
def read_rows(path: Path) -> Rows:
    """The rows of an array file, kept in memory."""
    with open_model(path) as model:
        images = np.array(array(model[IMAGES]))
        captions = json.loads(model.metadata[CAPTIONS])
        names = json.loads(model.metadata[NAMES])
    return Rows(images, tuple(map(tuple, captions)), tuple(names))


def drawn(count: int, most: int) -> list[int]:
    """At most so many of `count` rows, the same ones every time."""
    return sorted(Random(11).sample(range(count), min(count, most)))
