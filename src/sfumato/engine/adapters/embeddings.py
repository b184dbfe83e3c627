"""The embeddings that a model may use: found in a stream of tokens, read when first found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sfumato.containers.discover import PICTURES
from sfumato.engine.adapters.embedding import Embedding as Embedding
from sfumato.engine.adapters.embedding import carried_embeddings as carried_embeddings
from sfumato.engine.adapters.embedding import read_embedding as read_embedding
from sfumato.errors import NotAModel, SfumatoError
from sfumato.library.find import Shelf
from sfumato.library.folders import Entry
from sfumato.operations.applied import Applied

if TYPE_CHECKING:
    from sfumato.engine.model import TextEncoder


SMALL = 16 << 20
"""bytes that the file of an embedding has at most"""


class Tokens(Protocol):
    """What makes tokens of text."""

    def encode(self, text: str) -> Sequence[int]:
        """Token ids of a text, without those for beginning and end."""
        ...


class Encoded(Protocol):
    """What has text encoders: a loaded model."""

    @property
    def encoders(self) -> Sequence[TextEncoder]:
        """Them, in order."""
        ...


@dataclass(slots=True)
class _Slot:
    """One name: the embedding behind it, once somebody has called it."""

    name: str
    path: Path
    embedding: Embedding | None = None
    skipped: str = ""
    """why it is of no use to the model; empty where it is of use, or was never called"""

    def take(self, widths: tuple[int, ...]) -> Embedding | None:
        """Read the file unless that was done; None where the embedding is of no use."""
        if self.embedding is None and not self.skipped:
            try:
                self.embedding = read_embedding(self.path)
            except SfumatoError as error:
                self.skipped = str(error)
        if self.embedding is not None and not self.skipped:
            self.skipped = self.embedding.misfit(widths)
        return None if self.skipped else self.embedding

    def report(self) -> Applied:
        """Whether it is in use, and why not."""
        own = self.embedding
        tensors, total = (own.tensors, own.total) if own is not None else (0, 0)
        notes = (self.skipped,) if self.skipped else own.notes if own is not None else ()
        used = 0 if self.skipped else tensors
        return Applied("embedding", self.name, str(self.path), used, total, notes=notes)


Table = dict[int, list[tuple[tuple[int, ...], _Slot]]]
"""first token → whole names that begin with it, the longest first"""


@dataclass(slots=True)
class EmbeddingTable:
    """Names as token ids, and the embeddings they stand for.

    Only names are held until one of them occurs in a text, so that hundreds of files cost nothing.
    Names that give equal tokens are one name: the first one added has it.
    """

    model: Encoded
    tokens: Tokens
    _table: Table = field(default_factory=Table, repr=False)
    _called: dict[str, _Slot] = field(default_factory=dict[str, _Slot], repr=False)

    def add(self, embedding: Embedding) -> None:
        """Take an embedding in that is already read."""
        self._put(_Slot(embedding.name, embedding.path, embedding))

    def add_file(self, path: Path) -> None:
        """Take the file's name in; the file is read when the name occurs.

        A picture is read at once: it is called by the name inside. One that is just a picture is
        passed over.
        """
        if path.suffix.lower() not in PICTURES:
            self._put(_Slot(path.stem, path))
            return
        try:
            self.add(read_embedding(path))
        except NotAModel:
            return
        except SfumatoError as error:
            self._put(_Slot(path.stem, path, skipped=str(error)))

    def add_shelf(self, shelf: Shelf) -> None:
        """Take in every embedding of the folders of models.

        A small file that cannot be read, so that nobody knows what it is, is taken for one: what is
        wrong with it is said when its name occurs.
        """
        entries = shelf.all("embedding")
        for entry in entries:
            if not _is_preview(entry, entries):
                self.add_file(entry.path)
        for entry, fault in shelf.unreadable(SMALL):
            self._put(_Slot(entry.name, entry.path, skipped=fault))

    def match(self, ids: Sequence[int], position: int) -> tuple[Embedding, int] | None:
        """The embedding whose name stands at `position`, and the tokens of its name.

        The longest name wins; one that is of no use to the model is text like any other.
        """
        for name, slot in self._table.get(ids[position], ()):
            if tuple(ids[position : position + len(name)]) == name:
                self._called[slot.name] = slot
                embedding = slot.take(self.widths)
                if embedding is not None:
                    return embedding, len(name)
        return None

    def for_prompt(self, bundled: Iterable[Embedding] = ()) -> EmbeddingTable:
        """A table with the same names, and those that a picture's LoRAs carry, called by nobody.

        A name that is already there keeps its meaning, as in A1111.
        """
        table = {first: list(names) for first, names in self._table.items()}
        other = EmbeddingTable(self.model, self.tokens, table)
        for embedding in bundled:
            other.add(embedding)
        return other

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of the model's text encoders."""
        return tuple(encoder.sizes.width for encoder in self.model.encoders)

    @property
    def used(self) -> tuple[Embedding, ...]:
        """The embeddings that occurred, in the order in which they did."""
        every = (slot.embedding for slot in self._called.values() if not slot.skipped)
        return tuple(embedding for embedding in every if embedding is not None)

    @property
    def skipped(self) -> Mapping[str, str]:
        """Name → why it was taken as text, for the names that occurred and were of no use."""
        return {slot.name: slot.skipped for slot in self._called.values() if slot.skipped}

    def reports(self) -> tuple[Applied, ...]:
        """What became of every name that occurred."""
        return tuple(slot.report() for slot in self._called.values())

    def __len__(self) -> int:
        return sum(map(len, self._table.values()))

    def _put(self, slot: _Slot) -> None:
        ids = tuple(self.tokens.encode(slot.name))
        if not ids:
            return
        names = self._table.setdefault(ids[0], [])
        if all(ids != other for other, _ in names):
            names.append((ids, slot))
            names.sort(key=lambda entry: -len(entry[0]))


def _is_preview(entry: Entry, entries: Sequence[Entry]) -> bool:
    """True for a picture that lies beside a model of its name."""
    if entry.path.suffix.lower() not in PICTURES:
        return False
    same = (other.path for other in entries if other.name == entry.name)
    return any(o.parent == entry.path.parent and o.suffix.lower() not in PICTURES for o in same)
