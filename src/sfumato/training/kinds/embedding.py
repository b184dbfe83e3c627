"""Training an embedding: the vectors of a new word, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Parameter

from sfumato.containers.model_file import Tree
from sfumato.containers.save_file import save_file
from sfumato.engine.model import Model, TextEncoder
from sfumato.engine.prompt.chunks import EmbeddingLike, EmbeddingTable
from sfumato.engine.prompt.tokens import Tokenizer
from sfumato.errors import Refused, UsageError
from sfumato.library.find import Shelf
from sfumato.training.settings import Run
from sfumato.training.torch_tensors import from_torch
from sfumato.training.trainee import Group, Trained

NAMES = {768: "clip_l", 1280: "clip_g"}
"""SDXL's names for the vectors of its two encoders, by width"""

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
        self.run = run
        self.model = model
        self.name = run.embedding.name or Path(run.output).stem
        tokenizer = Tokenizer()
        if not tokenizer.encode(self.name):
            raise UsageError(f"{self.name!r} holds no letter that a text encoder reads")
        if run.embedding.vectors < 1:
            raise UsageError(f"an embedding has 1 vector or more, not {run.embedding.vectors}")
        for network in model.networks:
            network.module.requires_grad_(requires_grad=False)
        start = tokenizer.encode(run.embedding.start)
        if not start:
            raise Refused(f"{run.embedding.start!r} is no text to start from")
        self.word = Word(
            self.name,
            {e.sizes.width: _start(e, start, run.embedding.vectors) for e in model.encoders},
        )
        self.embeddings: EmbeddingTable = Words(self.word, tokenizer)
        self.note = (
            f"{run.embedding.vectors} vectors of the word {self.name!r} are trained, "
            f"from {run.embedding.start!r}"
        )

    def groups(self) -> tuple[Group, ...]:
        """The vectors."""
        named = {f"vectors.{width}": vectors for width, vectors in self.word.by_width.items()}
        return (Group("vectors", named, self.run.optimizer.rate, decays=False),)

    def shelf(self, folder: Path) -> Shelf | None:
        """A folder in which the painter finds the word as it is now."""
        place = folder / "embeddings"
        place.mkdir(exist_ok=True)
        self._save(dict(self.word.by_width), place / f"{self.name}.safetensors")
        return Shelf((folder,))

    def write(self, trained: Trained, path: Path) -> Iterator[Path]:
        """One file in A1111's layout, or in the one of safetensors."""
        chosen = trained.average or trained.weights
        vectors = {int(name.rpartition(".")[2]): value for name, value in chosen.items()}
        self._save(vectors, path, trained)
        yield path

    def _save(
        self, vectors: dict[int, Parameter] | dict[int, Tensor], path: Path,
        trained: Trained | None = None,
    ) -> None:  # fmt: skip
        kept = {width: value.detach().float().cpu().clone() for width, value in vectors.items()}
        if len(kept) > 1:
            named = {NAMES.get(width, f"clip_{width}"): value for width, value in kept.items()}
        else:
            named = {"emb_params": next(iter(kept.values()))}
        metadata = {**trained.facts} if trained else {}
        tensors = {name: from_torch(value) for name, value in named.items()}
        if path.suffix == ".safetensors" or len(kept) > 1:
            plain = path.suffix == ".safetensors"
            save_file(path, tensors, metadata if plain else None, force=True)
            return
        tree: Tree = {
            "string_to_token": {"*": ASTERISK},
            "string_to_param": {"*": tensors["emb_params"]},
            "name": self.name,
            "step": trained.step if trained else 0,
            "sd_checkpoint": None,
            "sd_checkpoint_name": self.model.path.stem,
        }
        save_file(path, {"string_to_param.*": tensors["emb_params"]}, None, force=True, tree=tree)


@torch.no_grad()
def _start(encoder: TextEncoder, ids: Sequence[int], count: int) -> Parameter:
    """Vectors (count, width) of words that are known, spread over the new ones as A1111 does."""
    device = next(encoder.parameters()).device  # pyright: ignore
    rows = encoder.embed(torch.tensor([list(ids)], device=device))[0].float()
    places = [index * len(rows) // count for index in range(count)]
    return Parameter(rows[places].clone())
