"""Models in several files: the index that lists their parts, and the parts as one mapping."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from sfumato.containers.journal import Journal
from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import SHARDED, Container, Leaf, ModelFile
from sfumato.containers.readers import open_file
from sfumato.containers.source import Source, is_file
from sfumato.containers.strict_json import JsonError, parse_json
from sfumato.containers.tensor import Tensor
from sfumato.containers.text import escape
from sfumato.errors import Damaged, NotAModel

_SUFFIXES = (".safetensors", ".sft", ".bin", ".pt", ".pth", ".ckpt")
"""what a shard may be; never another index, and never a folder"""

_NOT_IN_NAMES = frozenset("/\\:\0")


def read_sharded(path: str | Path, limits: Limits = DEFAULT) -> ModelFile:
    """The tensors of all files that an `….index.json` lists, as one mapping.

    Raises Damaged where a part is missing, lies elsewhere, or does not hold what the index says.
    """
    index = Path(path)
    places = read_index(index, limits)
    files = sorted(set(places.values()))
    absent = [file for file in files if not is_file(index.parent / file)]
    if absent:
        raise Damaged(
            index, f"{len(absent)} of {len(files)} parts are missing, such as {escape(absent[0])}"
        )
    with ExitStack() as resources:
        parts = {
            file: resources.enter_context(open_weights(index.parent / file, limits))
            for file in files
        }
        for name, file in places.items():
            if name not in parts[file]:
                raise Damaged(index, f"{escape(name)} is not in {file}, where the index has it")
        model = join(index, SHARDED, [("", part) for part in parts.values()])
        resources.pop_all()
    return model


def read_index(path: Path, limits: Limits = DEFAULT) -> dict[str, str]:
    """Tensor name → file name, from an index.json; every file is named as a neighbour."""
    with Source(path) as source:
        if source.size > limits.metadata_value:
            raise Damaged(path, f"{source.size} bytes are too many for an index of shards")
        raw = source.read(0, source.size)
    try:
        value = parse_json(raw)
    except JsonError as error:
        raise Damaged(path, f"is not a valid index of shards: {error}") from error
    places = value.get("weight_map") if isinstance(value, dict) else None
    if not isinstance(places, dict) or not places:
        raise NotAModel(path, "is JSON without a weight_map, not an index of shards")
    if len(places) > limits.tensors:
        raise Damaged(path, f"lists {len(places)} tensors; at most {limits.tensors} are read")
    found: dict[str, str] = {}
    for name, file in places.items():
        if not isinstance(file, str) or not _neighbour(file):
            shown = escape(file) if isinstance(file, str) else "no file name"
            raise Damaged(path, f"puts {escape(name)} outside its folder or nowhere: {shown}")
        found[name] = file
    return found


def _neighbour(file: str) -> bool:
    return not _NOT_IN_NAMES & set(file) and file.endswith(_SUFFIXES)


def open_weights(path: Path, limits: Limits) -> ModelFile:
    """A file of a set, by its content."""
    if not is_file(path):
        raise Damaged(path, "is a part of a set, and not a file")
    return open_file(path, limits=limits)


def join(path: Path, container: Container, parts: Iterable[tuple[str, ModelFile]]) -> ModelFile:
    """Several models as one that owns them; the texts and names of each get its prefix.

    Raises Damaged where two of them have a tensor of one name.
    """
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    extras: dict[str, Leaf] = {}
    journal, notes, size = Journal(), list[str](), 0
    resources = ExitStack()
    for part, model in parts:
        resources.push(model)
        dot, slash, colon = (f"{part}{mark}" if part else "" for mark in (".", "/", ": "))
        for name, tensor in model.items():
            if tensors.setdefault(dot + name, tensor) is not tensor:
                raise Damaged(path, f"{escape(dot + name)} is in {model.path.name} and elsewhere")
        metadata |= {slash + key: text for key, text in model.metadata.items()}
        extras |= {dot + key: value for key, value in model.extras.items()}
        journal.events.extend(model.journal)
        notes.extend(colon + note for note in model.notes)
        size += model.size
    return ModelFile(
        path, container, tensors, size, metadata, extras, journal, notes=tuple(notes),
        resources=resources,
    )  # fmt: skip
