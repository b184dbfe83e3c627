"""The files that a record names, each with as much of its hash as it tells."""

from __future__ import annotations

from collections.abc import Iterator

from sfumato.engine.pictures.infotext import Record
from sfumato.engine.pictures.readers.json_text import parse, table, word
from sfumato.engine.pictures.used import FileUsed, Kind

SINGLE: tuple[tuple[Kind, str], ...] = (
    ("checkpoint", "Model"),
    ("vae", "VAE"),
    ("refiner", "Refiner"),
)
LISTS: tuple[tuple[Kind, str], ...] = (
    ("lora", "Lora hashes"),
    ("embedding", "TI hashes"),
    ("hypernetwork", "Hypernet hashes"),
)
PREFIXES: tuple[tuple[str, Kind], ...] = (
    ("lora:", "lora"),
    ("embed:", "embedding"),
    ("hypernet:", "hypernetwork"),
)
"""how the names in Civitai's `Hashes` begin"""


def told_files(record: Record) -> tuple[FileUsed, ...]:
    """Checkpoint, VAE, refiner and adapters; hashes are beginnings, of different things.

    `Lora hashes` are of the tensors alone (`autov3`), all others of the whole file (`sha256`).
    """
    found = {(file.kind, file.name): file for file in _from_json(record)}
    found |= {(file.kind, file.name): file for file in _from_keys(record)}
    return tuple(found.values())


def _from_keys(record: Record) -> Iterator[FileUsed]:
    for kind, key in SINGLE:
        name, told = record.fields.get(key, ""), record.fields.get(f"{key} hash", "")
        if name or told:
            yield FileUsed(kind, name, "", told)
    for kind, key in LISTS:
        for entry in record.fields.get(key, "").split(","):
            name, _, told = entry.strip().rpartition(": ")
            if name and kind == "lora":
                yield FileUsed(kind, name, "", "", told)
            elif name:
                yield FileUsed(kind, name, "", told)


def _from_json(record: Record) -> Iterator[FileUsed]:
    for key, value in table(parse(record.fields.get("Hashes", ""))).items():
        for start, kind in PREFIXES:
            if key.startswith(start):
                yield FileUsed(kind, key.removeprefix(start), "", word(value))
