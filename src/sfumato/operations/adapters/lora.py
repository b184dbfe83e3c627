"""A LoRA file of any kind and spelling, read against a model: what it changes, and where."""

from __future__ import annotations

import os
from pathlib import Path

from sfumato.catalogue.adapters.peft_config import CONFIG
from sfumato.containers.model_file import ModelFile
from sfumato.containers.open import open_model
from sfumato.operations.adapters.bundles import bundled
from sfumato.operations.adapters.lora_file import Lora as Lora
from sfumato.operations.adapters.parts import Problem, place_all, take_apart
from sfumato.operations.adapters.refusal import misplaced
from sfumato.operations.adapters.target import Target


def read_lora(
    source: str | os.PathLike[str] | ModelFile, target: Target, *, name: str = ""
) -> Lora:
    """Find for every tensor of a LoRA the weight of `target` that it changes. Nothing is computed.

    name: what it is called in reports; the file's stem where empty. The file stays open. Raises
    Refused where it was made for another family or nothing applies, BadFile for no usable file.
    """
    lora = place_lora(source, target, name=name)
    try:
        misplaced(lora, target)
    except BaseException:
        if not isinstance(source, ModelFile):
            lora.close()
        raise
    return lora


def place_lora(
    source: str | os.PathLike[str] | ModelFile, target: Target, *, name: str = ""
) -> Lora:
    """The same, however little of it applies: `Lora.notes` says why."""
    file = source if isinstance(source, ModelFile) else open_lora(source)
    path = file.path if isinstance(source, ModelFile) else Path(source)
    try:
        taken = take_apart(file)
        parts, problems = place_all(taken, target, file)
        embeddings = bundled(file, taken.embeddings)
        total = len(file) - len(taken.embeddings)
        return Lora(name or path.stem, path, file, parts, total, _notes(problems), embeddings)
    except BaseException:
        if not isinstance(source, ModelFile):
            file.close()
        raise


def open_lora(path: str | os.PathLike[str]) -> ModelFile:
    """Open a LoRA's file, with PEFT's settings where they lie beside it."""
    return open_model(_with_settings(Path(path)))


def _with_settings(path: Path) -> Path:
    """The folder in place of the file where PEFT's settings lie beside it: they hold alpha."""
    named = path.name.startswith("adapter_model.")
    return path.parent if named and (path.parent / CONFIG).is_file() else path


def _notes(problems: tuple[Problem, ...]) -> tuple[str, ...]:
    """Problems by sort: one sentence each, with the first of many as the example."""
    sorts: dict[str, list[Problem]] = {}
    for problem in problems:
        sorts.setdefault(problem.reason, []).append(problem)
    return tuple(_sentence(reason, found) for reason, found in sorts.items())


def _sentence(reason: str, found: list[Problem]) -> str:
    tensors = sum(problem.tensors for problem in found)
    count = "1 tensor" if tensors == 1 else f"{tensors} tensors"
    more = "" if len(found) == 1 else f", the first of {len(found)}"
    return f"{count} left out: {reason} ({found[0].example}{more})"
