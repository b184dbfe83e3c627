"""Training an embedding: the vectors of a new word, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Parameter

from sfumato.containers.model_file import Key, Tree
from sfumato.containers.save_file import save_file
from sfumato.containers.tensor import Tensor as FileTensor
from sfumato.containers.text import escape
from sfumato.engine.model import Model, TextEncoder
from sfumato.engine.prompt.chunks import ROOM, EmbeddingLike, EmbeddingTable
from sfumato.engine.prompt.tokens import Tokenizer
from sfumato.errors import UsageError
from sfumato.library.find import Shelf
from sfumato.training.kinds.part import Taught
from sfumato.training.output import check_suffix, facts_of, modelspec
from sfumato.training.settings import Run, word_of
from sfumato.training.torch_tensors import from_torch
from sfumato.training.trainee import Group, Trained

NAMES = ("clip_l", "clip_g")
"""SDXL's names for the vectors of its two encoders"""

ASTERISK = 265
"""the token that the original code let an embedding stand for"""


@dataclass(frozen=True, slots=True)
class Word:
    """A word that is being learned."""

    name: str
    by_width: dict[int, Parameter]

    @property
    def vectors(self) -> int:
        """Tokens that it takes."""
        return len(next(iter(self.by_width.values())))

    def rows(self, width: int) -> Tensor:
        """Its vectors (n, width), with their gradients."""
        return self.by_width[width]


class Words:
    """A table of one word, for the encoder."""

    def __init__(self, word: Word, tokenizer: Tokenizer) -> None:
        self.word = word
        self.ids = tuple(tokenizer.encode(word.name))

    def match(self, ids: Sequence[int], position: int) -> tuple[EmbeddingLike, int] | None:
        """The word, where its tokens stand at `position`."""
        count = len(self.ids)
        if tuple(ids[position : position + count]) == self.ids:
            return self.word, count
        return None


class EmbeddingPart:
    """The vectors of one word in every text encoder."""

    learns_text = True

    def __init__(self, run: Run, model: Model) -> None:
        """Raises UsageError for a name or a number of vectors that cannot be, and for no start."""
        self.run = run
        self.model = model
        check_suffix(run, (".pt", ".safetensors"))
        self.name = word_of(run)
        tokenizer = Tokenizer()
        if not tokenizer.encode(self.name):
            raise UsageError(f"{escape(self.name, 60)} holds no letter that a text encoder reads")
        if not 1 <= run.embedding.vectors <= ROOM:
            raise UsageError(f"an embedding has 1 to {ROOM} vectors, not {run.embedding.vectors}")
        for network in model.networks:
            network.module.requires_grad_(requires_grad=False)
        start = tokenizer.encode(run.embedding.start)
        if not start:
            raise UsageError(f"{escape(run.embedding.start, 60)} is no text to start from")
        ids = torch.tensor(start, device=model.placement.device)
        self.learned = Word(
            self.name,
            {e.sizes.width: _start(e, ids, run.embedding.vectors) for e in model.encoders},
        )
        self.embeddings: EmbeddingTable | None = Words(self.learned, tokenizer)
        self.note = (
            f"{run.embedding.vectors} vectors of the word {self.name!r} are trained, "
            f"from {run.embedding.start!r}"
        )

    def groups(self) -> tuple[Group, ...]:
        """The vectors."""
        named = {f"vectors.{width}": vectors for width, vectors in self.learned.by_width.items()}
        return (Group("vectors", named, self.run.optimizer.rate, decays=False),)

    def learning(self, *, on: bool) -> None:
        """Vectors act alike whether they learn or not."""

    def shelf(self, folder: Path) -> Shelf | None:
        """A folder in which the painter finds the word as it is now."""
        place = folder / "embeddings"
        place.mkdir(exist_ok=True)
        tensors = self._tensors(self.learned.by_width)
        save_file(place / f"{self.name}.safetensors", tensors, force=True)
        return Shelf((folder,))

    def write(self, trained: Trained, path: Path, taught: Taught) -> Iterator[Path]:
        """One file: A1111's layout where it is a pickle, bare vectors for two text encoders."""
        chosen = trained.average or trained.weights
        tensors = self._tensors({int(n.rpartition(".")[2]): value for n, value in chosen.items()})
        spec = modelspec(
            self.run, self.model, path.stem, "textual-inversion", taught.lesson.resolution
        )
        facts = facts_of(trained, spec)
        if path.suffix == ".safetensors":
            save_file(path, tensors, facts, force=True)
        elif "emb_params" in tensors:
            vectors = tensors["emb_params"]
            tree = self._tree(vectors, trained) | {**facts}
            save_file(path, {"string_to_param.*": vectors}, None, force=True, tree=tree)
        else:
            save_file(path, tensors, None, force=True, tree={**tensors, **facts})
        yield path

    def _tensors(self, vectors: Mapping[int, Tensor]) -> dict[str, FileTensor]:
        """The vectors under kohya's name, or under SDXL's for its encoders."""
        kept = {width: from_torch(v.detach().float().clone()) for width, v in vectors.items()}
        if len(kept) == 1:
            return {"emb_params": next(iter(kept.values()))}
        widths = [encoder.sizes.width for encoder in self.model.encoders]
        return {name: kept[width] for name, width in zip(NAMES, widths, strict=True)}

    def _tree(self, vectors: FileTensor, trained: Trained) -> dict[Key, Tree]:
        """What A1111 saves (modules/textual_inversion/textual_inversion.py)."""
        return {
            "string_to_token": {"*": ASTERISK},
            "string_to_param": {"*": vectors},
            "name": self.name,
            "step": trained.step,
            "sd_checkpoint": None,
            "sd_checkpoint_name": self.model.path.stem,
        }


@torch.no_grad()
def _start(encoder: TextEncoder, ids: Tensor, count: int) -> Parameter:
    """Vectors (count, width) of words that are known, spread over the new ones as A1111 does."""
    rows = encoder.embed(ids[None])[0].float()
    places = [index * len(rows) // count for index in range(count)]
    return Parameter(rows[places].clone())
