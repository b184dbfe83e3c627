"""The LoRAs, hypernetworks and embeddings at work in one model, as prompts and callers ask."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sfumato.containers.text import escape
from sfumato.engine.adapters import hypernetworks
from sfumato.engine.adapters.embedding import Embedding, carried_embeddings, read_embedding
from sfumato.engine.adapters.embeddings import EmbeddingTable
from sfumato.engine.adapters.hypernetworks import Hypernetwork, read_hypernetwork
from sfumato.engine.adapters.patches import Patches, Use
from sfumato.engine.asking.standing import Standing
from sfumato.engine.loading.cache import Recent, Stamp, stamps
from sfumato.engine.prompt.tags import Calls, HypernetworkCall, LoraCall
from sfumato.engine.prompt.tokens import Tokenizer
from sfumato.errors import Refused, SfumatoError, UsageError
from sfumato.library.find import Shelf
from sfumato.operations.adapters.lora import Lora, read_lora
from sfumato.operations.applied import Applied

if TYPE_CHECKING:
    from sfumato.engine.model import Model

KEPT = 16
"""files of each kind that stay read or open"""


@dataclass(frozen=True, slots=True)
class Attached:
    """What is at work for one pass, and what became of all that was asked for."""

    reports: tuple[Applied, ...] = ()
    notes: tuple[str, ...] = ()
    """what was asked for and is not there, one sentence each"""
    carried: tuple[Embedding, ...] = ()
    """embeddings that the LoRAs brought along"""
    key: Hashable = ()
    """equal where text encoders give the same"""
    strengths: tuple[str, ...] = ()
    """each adapter and how strongly it acts: "LoRA ink at 0.8" """


class Attachments:
    """Attaches what is asked for and takes off what no longer is."""

    def __init__(self, model: Model, shelf: Shelf) -> None:
        """For one loaded model, with files from `shelf`."""
        self.standing: list[Standing] = []
        """what every prompt is painted with after what it names itself, in order"""
        self.words_given: list[Embedding] = []
        """embeddings that a caller gave, before those of the shelf"""
        self._model, self._shelf = model, shelf
        self._patches = Patches(model)
        self._acting = ExitStack()
        self._loras: Recent[Hashable, Lora] = Recent(KEPT, Lora.close)
        self._hypernetworks: Recent[Hashable, Hypernetwork] = Recent(KEPT)
        self._words: EmbeddingTable | None = None

    def set(self, calls: Calls) -> Attached:
        """Have what `calls` and `standing` ask for at work, and nothing else.

        A name that is nowhere, or that several files have, is a note, as in A1111; a file that is
        there and does not fit, or cannot be read, raises what `read_lora` and `read_hypernetwork`
        raise.
        """
        notes = list(calls.notes)
        loras: list[tuple[Path, LoraCall]] = []
        acting: list[tuple[Path, HypernetworkCall]] = []
        for call in calls.loras:
            path = self._found("lora", call.name, notes)
            loras += [] if path is None else [(path, call)]
        for call in calls.hypernetworks:
            path = self._found("hypernetwork", call.name, notes)
            acting += [] if path is None else [(path, call)]
        loras += [(s.path, s.call) for s in self.standing if isinstance(s.call, LoraCall)]
        acting += [(s.path, s.call) for s in self.standing if isinstance(s.call, HypernetworkCall)]
        uses = [self._use(path, call) for path, call in loras]
        reports = [*self._patches.set(uses), *self._act(acting)]
        carried = [e for use in uses for e in self._carried(use.lora, notes)]
        texts = tuple((stamps(path), call.te, call.dyn) for path, call in loras)
        given = tuple((word.name, word.sha256) for word in self.words_given)
        return Attached(
            tuple(reports), tuple(notes), tuple(carried), (texts, given), _strengths(uses, acting)
        )

    def clear(self) -> None:
        """Have the model as its file is, bit for bit."""
        self._acting.close()
        self._patches.clear()

    def close(self) -> None:
        """`clear`, and let go of all files."""
        self.clear()
        self._loras.shrink()
        self._hypernetworks.shrink()

    def refresh(self) -> None:
        """Look for embeddings again."""
        self._words = None

    def find(self, kind: Literal["lora", "hypernetwork", "embedding"], name: str) -> Path:
        """The file that a caller means; raises UsageError with the nearest names."""
        return self._shelf.find(kind, name)

    def give(self, embedding: Embedding) -> None:
        """Let a word mean an embedding, whatever else has its name, until `take` takes it away."""
        self.words_given.insert(0, embedding)
        self._words = None

    def lend(self, other: Attachments) -> None:
        """Have the embeddings given that another model's prompts have, and no other."""
        if self.words_given != other.words_given:
            self.words_given, self._words = list(other.words_given), None

    def take(self, embedding: Embedding) -> None:
        """Undo `give`."""
        self.words_given.remove(embedding)
        self._words = None

    def words(self, attached: Attached) -> EmbeddingTable:
        """The names of embeddings that may stand in a prompt.

        One in a folder that cannot be read is a note when it is called; a file that was named by
        itself raises what `read_embedding` raises.
        """
        if self._words is None:
            table = EmbeddingTable(self._model, Tokenizer())
            named = [path for kind, path in self._shelf.files if kind == "embedding"]
            for embedding in (*self.words_given, *map(read_embedding, named)):
                table.add(embedding)
            table.add_shelf(self._shelf)
            self._words = table
        return self._words.for_prompt(attached.carried)

    def _found(
        self, kind: Literal["lora", "hypernetwork"], name: str, notes: list[str]
    ) -> Path | None:
        try:
            found = self._shelf.resolve(kind, name, paths=False)
        except (UsageError, Refused) as error:  # Refused: an alias that several have
            notes.append(f"{error}; it is left out")
            return None
        notes += [found.note] if found.note else []
        return found.path

    def _use(self, path: Path, call: LoraCall) -> Use:
        lora = self._loras.get(
            (stamps(path), call.name), lambda: read_lora(path, self._model.target, name=call.name)
        )
        return Use(lora, call.te, call.unet, call.dyn or 0)

    def _act(self, wanted: Iterable[tuple[Path, HypernetworkCall]]) -> tuple[Applied, ...]:
        self._acting.close()
        uses: list[tuple[Hypernetwork, float]] = []
        for path, call in wanted:
            key: tuple[Stamp, ...] = stamps(path)
            read = self._hypernetworks.get(key, lambda path=path: read_hypernetwork(path))
            uses.append((read, call.multiplier))
        if not uses:
            return ()
        return self._acting.enter_context(hypernetworks.attach(self._model, uses))

    def _carried(self, lora: Lora, notes: list[str]) -> tuple[Embedding, ...]:
        try:
            return carried_embeddings(lora.embeddings, lora.path)
        except SfumatoError as error:
            notes.append(f"the embeddings inside it are left out: {error}")
            return ()


def _strengths(
    uses: Iterable[Use], acting: Iterable[tuple[Path, HypernetworkCall]]
) -> tuple[str, ...]:
    loras = [
        f"LoRA {escape(use.lora.name)} at "
        + " and ".join(f"{s:g}" for s in dict.fromkeys((use.te, use.unet)) if s is not None)
        for use in uses
    ]
    return (*loras, *(f"hypernetwork {escape(p.stem)} at {c.multiplier:g}" for p, c in acting))
