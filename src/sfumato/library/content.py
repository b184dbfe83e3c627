"""What a file says of itself when only its header is read: its kind, its alias, its hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sfumato.catalogue.identify import identify
from sfumato.containers.hashes import EMPTY, hash_file, short_hash
from sfumato.containers.open import open_model
from sfumato.containers.source import Source
from sfumato.errors import SfumatoError
from sfumato.library.folders import PICKLES, Kind

KINDS: Mapping[str, Kind] = {
    "checkpoint": "checkpoint",
    "unet": "checkpoint",
    "diffusion-transformer": "checkpoint",
    "vae": "vae",
    "lora": "lora",
    "embedding": "embedding",
    "hypernetwork": "hypernetwork",
}
"""the catalogue's kind → what such a file is asked for as"""

TINY = ("TAE", "VAE-approx")
"""what the titles of a VAE's small stand-ins begin with"""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file is."""

    kind: Kind | None = None
    """None for a file of another kind, or one that cannot be read"""
    fault: str = ""
    """why the file cannot be read; empty where it can"""


@dataclass(frozen=True, slots=True)
class Labels:
    """What a trainer wrote on a file."""

    alias: str = ""
    """the name that a LoRA was trained under (`ss_output_name`)"""
    payload: str = ""
    """hash of the tensors (`sshs_model_hash`), unchecked"""


def content(path: Path) -> Content:
    """Say what a file is by its header, once for as long as the file does not change."""
    return _content(path, *_stamp(path))


def labels(path: Path) -> Labels:
    """Read what is written on a file, once for as long as the file does not change."""
    return _labels(path, *_stamp(path))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return 0, 0
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=20_000)
def _content(path: Path, size: int, changed: int) -> Content:
    try:
        with open_model(path) as model:
            verdict = identify(model, metadata=model.metadata, extras=model.extras, stem=path.stem)
    except SfumatoError as error:
        return Content(fault=str(error))
    kind = KINDS.get(verdict.kind)
    if kind == "vae" and verdict.title.startswith(TINY):
        kind = "preview"
    return Content(kind)


@lru_cache(maxsize=20_000)
def _labels(path: Path, size: int, changed: int) -> Labels:
    if path.suffix.lower() in PICKLES:
        return Labels()  # a pickle is slow to read and holds no such text
    try:
        with open_model(path) as model:
            said = model.metadata
    except SfumatoError:
        return Labels()
    alias = said.get("ss_output_name", "").strip()
    return Labels("" if alias.lower() == "none" else alias, said.get("sshs_model_hash", "").lower())


def has_hash(path: Path, digits: str) -> bool:
    """True where one of a file's hashes begins with `digits` (lower case).

    Eight digits are A1111's old short hash first, which takes one small read; any others need the
    whole file read, once for as long as it does not change.
    """
    if len(digits) == len(EMPTY) and _short(path, *_stamp(path)) == digits != EMPTY:
        return True
    return any(known.startswith(digits) for known in _hashes(path, *_stamp(path)))


@lru_cache(maxsize=20_000)
def _short(path: Path, size: int, changed: int) -> str:
    try:
        with Source(path) as source:
            return short_hash(source)
    except SfumatoError:
        return ""


@lru_cache(maxsize=20_000)
def _hashes(path: Path, size: int, changed: int) -> tuple[str, ...]:
    try:
        hashes = hash_file(path)
    except SfumatoError:
        return ()
    return hashes.sha256, hashes.payload, hashes.blake3
