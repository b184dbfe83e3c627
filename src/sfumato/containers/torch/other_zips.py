"""Zip archives that are not torch files, and what to call them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sfumato.containers.text import escape
from sfumato.errors import BadFile, NotAModel, Unsupported


@dataclass(frozen=True, slots=True)
class Sort:
    """A sort of zip archive that is known by one of its members."""

    member: re.Pattern[str]
    sentence: str


def _sort(pattern: str, sentence: str) -> Sort:
    return Sort(re.compile(pattern), sentence)


PROGRAM = "only weights saved with torch.save(model.state_dict()) are read"

SORTS: tuple[Sort, ...] = (
    _sort(r"(^|/)MAR-INF/", f"is a TorchServe archive (MAR); {PROGRAM}"),
    _sort(r"^[^/]+/(constants\.pkl$|code/)", f"is a TorchScript program; {PROGRAM}"),
    _sort(r"^[^/]+/(model\.json|attributes\.pkl)$", f"is an old TorchScript program; {PROGRAM}"),
    _sort(r"^[^/]+/\.data/(extern_modules|python_version)$|^[^/]+/\.data/.*\.py$",
          f"is a torch.package archive, which carries Python code; {PROGRAM}"),
    _sort(r"serialized_exported_program\.json$|^[^/]+/archive_format$",
          f"is a program made by torch.export; {PROGRAM}"),
    _sort(r"com\.apple\.CoreML/|\.mlmodelc/|\.mlmodel$|(^|/)coremldata\.bin$",
          "is a Core ML package"),
    _sort(r"(^|/)model\.weights\.h5$", "is a Keras model"),
    _sort(r"\.onnx$", "is a zip archive with an ONNX model inside"),
    _sort(r"(^|/)model_index\.json$", "is a zipped diffusers folder: unpack it first"),
)  # fmt: skip
"""looked through in this order"""

MODELS = re.compile(r"\.(safetensors|ckpt|pt|pth|bin|gguf)$", re.IGNORECASE)
PICKLE = re.compile(r"(^|/)data\.pkl$", re.IGNORECASE)


def name_zip(path: Path, names: Sequence[str]) -> BadFile | None:
    """The refusal for an archive with these members; None where it may be a torch file."""
    for sort in SORTS:
        if any(sort.member.search(name) for name in names):
            return Unsupported(path, sort.sentence)
    if any(PICKLE.search(name) for name in names):
        return None
    if names and all(name.endswith(".npy") for name in names):
        return Unsupported(path, "is a numpy archive, not a torch file")
    inside = [name for name in names if MODELS.search(name)]
    if inside:
        return Unsupported(
            path, f"is a zip archive with {escape(inside[0])} inside: unpack it first"
        )
    shown = ", ".join(escape(name, 40) for name in names[:3])
    return NotAModel(
        path, f"is a zip archive without a model in it (it holds {shown or 'nothing'})"
    )
