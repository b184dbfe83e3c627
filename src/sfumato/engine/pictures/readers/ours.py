"""Pictures of our own: A1111's text, and a chunk that names every file by its sha256."""

from __future__ import annotations

from typing import get_args

from sfumato.engine.pictures.infotext import read_text
from sfumato.engine.pictures.readers.carried import Carried
from sfumato.engine.pictures.readers.found import Found
from sfumato.engine.pictures.readers.json_text import parse, rows, table, word
from sfumato.engine.pictures.used import FileUsed, Kind

FILES = 10_000

KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}


def read_ours(carried: Carried) -> Found | None:
    """A picture whose chunk or maker's note is ours; what else it holds is read as A1111's."""
    note = table(parse(carried.named("sfumato") or carried.exif.note))
    if "version" not in note or "files" not in note:
        return None
    text = next(iter(carried.accounts), "")
    files = tuple(_file(entry) for entry in rows(note["files"])[:FILES])
    notes = tuple(word(entry) for entry in rows(note.get("notes"))[:FILES])
    return Found("Sfumato", read_text(text), text, files, notes)


def _file(entry: object) -> FileUsed:
    values = table(entry)  # pyright: ignore
    kind = KINDS.get(word(values.get("kind")), "other")
    return FileUsed(
        kind,
        *(word(values.get(key)) for key in ("name", "file", "sha256", "autov3")),
    )
