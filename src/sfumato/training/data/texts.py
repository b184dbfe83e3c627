"""Captions as the UNet reads them: encoded by the painter's own code, kept while they may be."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from sfumato.engine.encoding.encode import encode
from sfumato.engine.encoding.encoded import Encoding
from sfumato.engine.model import Model
from sfumato.engine.prompt.chunks import EmbeddingTable
from sfumato.training.precision import computing
from sfumato.training.settings import Precision

KEPT = 512 << 20
"""bytes of encodings kept"""


class Texts:
    """Encodings of captions.

    learning: True where the encoder, or a word of it, is trained, so that nothing can be kept.
    precision: in which one that learns is computed; what is kept is exact.
    """

    def __init__(
        self, model: Model, *, learning: bool, embeddings: EmbeddingTable | None = None,
        precision: Precision = "f32",
    ) -> None:  # fmt: skip
        self.model = model
        self.learning = learning
        self.precision: Precision = precision if learning else "f32"
        self.embeddings = embeddings
        self._kept: OrderedDict[tuple[str, tuple[int, int]], Encoding] = OrderedDict()
        self._bytes = 0

    def at(self, texts: Sequence[str], size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Contexts (b, 77 n, width), and vectors (b, labels) where the family has them.

        size: width and height of the pictures, in pixels, for SDXL's vector.
        """
        found = self._encoded(texts, size) if self.learning else self._known(texts, size)
        longest = max(each.context.shape[1] for each in found)
        if any(each.context.shape[1] != longest for each in found):
            found = self._encoded(texts, size)
        vectors = [each.vector for each in found if each.vector is not None]
        return torch.cat([e.context for e in found]), torch.cat(vectors) if vectors else None

    def _encoded(self, texts: Sequence[str], size: tuple[int, int]) -> list[Encoding]:
        with computing(self.precision, self.model.placement.device):
            return encode(self.model, texts, emphasis="None", size=size, embeddings=self.embeddings)

    @torch.no_grad()
    def _known(self, texts: Sequence[str], size: tuple[int, int]) -> list[Encoding]:
        # One by one: what stands in a batch beside a text must not change the last bits of it.
        for text in dict.fromkeys(texts):
            key = (text, size)
            if key in self._kept:
                self._kept.move_to_end(key)
            else:
                self._keep(key, self._encoded([text], size)[0])
        return [self._kept[text, size] for text in texts]

    def _keep(self, key: tuple[str, tuple[int, int]], encoding: Encoding) -> None:
        self._kept[key] = encoding
        self._bytes += encoding.context.nbytes
        while self._bytes > KEPT and len(self._kept) > 256:
            _, old = self._kept.popitem(last=False)
            self._bytes -= old.context.nbytes
