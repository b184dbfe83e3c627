"""The folders that programs keep models in, and a walk over them that nothing can lead astray."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from sfumato.containers.discover import PICTURES, SHARD, is_model_folder
from sfumato.containers.source import is_file, is_folder
from sfumato.containers.text import escape
from sfumato.errors import UsageError

Kind = Literal["checkpoint", "vae", "lora", "embedding", "hypernetwork", "preview"]
"""what a file is asked for as; preview: TAESD and VAE-approx, which stand in for a VAE"""

PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
SUFFIXES = (".safetensors", ".sft", *PICKLES, ".gguf", ".npz")
"""endings of model files, those that hold no program first"""

INDEX = ".index.json"
"""end of the name of a sharded set's list"""


@dataclass(frozen=True, slots=True)
class Sort:
    """One kind of file, and what programs call the folders that it lies in."""

    kind: Kind
    title: str
    folders: tuple[str, ...]
    """in lower case"""


SORTS: tuple[Sort, ...] = (
    Sort("checkpoint", "checkpoint", (
        "stable-diffusion", "checkpoints", "diffusers", "diffusion_models", "unet",
    )),
    Sort("vae", "VAE", ("vae",)),
    Sort("lora", "LoRA", ("lora", "loras", "lycoris")),
    Sort("embedding", "embedding", ("embeddings",)),
    Sort("hypernetwork", "hypernetwork", ("hypernetworks",)),
    Sort("preview", "preview decoder", ("vae-approx", "vae_approx", "vae-taesd")),
)  # fmt: skip
"""every kind with its folders in AUTOMATIC1111, Forge and ComfyUI"""

BY_KIND: Mapping[Kind, Sort] = {sort.kind: sort for sort in SORTS}
BY_FOLDER: Mapping[str, Kind] = {name: sort.kind for sort in SORTS for name in sort.folders}

VAE_BESIDE = re.compile(r"\.vae\.(safetensors|ckpt|pt)$", re.IGNORECASE)
"""a VAE beside the checkpoint it belongs to"""

MOST = 200_000
"""entries of one folder tree that are looked at"""

SYSTEMS = ("/proc", "/sys", "/dev")
"""where the system shows itself as files, which hold no models and take long to look at"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a folder that is one model, and what it may be called."""

    path: Path
    relative: str
    """path below the folder of its kind, with "/" whatever the system"""
    kind: Kind | None
    """what its folder says it is; None where only its content can tell"""
    shelf: int
    """number of the folder that it was found in, as the user listed them"""

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return bare(self.path.name)

    @property
    def rank(self) -> tuple[int, int, int, str]:
        """The lowest comes first among files of one name: folder, format, depth, name."""
        pickled = self.path.suffix.lower() in PICKLES
        return self.shelf, int(pickled), self.relative.count("/"), self.relative


def bare(name: str) -> str:
    """A name without the suffix of a model file; a name that merely has a dot in it stays."""
    low = name.lower()
    for suffix in (INDEX, *SUFFIXES, *PICTURES):
        if low.endswith(suffix) and len(name) > len(suffix):
            short = name[: -len(suffix)]
            return bare(short) if suffix == INDEX else short
    return name


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers in a name by their value."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]


def entries(folders: tuple[Path, ...]) -> Iterator[Entry]:
    """Every model below `folders`, whose contents nobody opens.

    Links are followed, and each folder is walked once, so that circles end; what cannot be looked
    into is passed over. Raises UsageError where there are more than MOST entries.
    """
    seen = set[tuple[int, int]]()
    for number, folder in enumerate(folders):
        for top in _tops(folder):
            yield from _walk(_Spot(top, "", BY_FOLDER.get(_named(top, folder))), number, seen)


def _named(top: Path, folder: Path) -> str:
    """A folder that the user names himself may hold anything, whatever it is called."""
    return "" if top == folder else top.name.lower()


def _tops(folder: Path) -> Iterator[Path]:
    """Where to look: of a program's folder only the places where it keeps models."""
    models = folder / "models"
    if not any(name.name.lower() in BY_FOLDER for name in _folders(models)):
        yield folder
        return
    yield models
    for beside in _folders(folder):
        if beside.name.lower() in BY_FOLDER:
            yield beside


def _folders(path: Path) -> list[Path]:
    return [entry for entry in _listed(path) if is_folder(entry)]


def _listed(path: Path) -> list[Path]:
    try:
        return [path / name for name in sorted(os.listdir(path))]  # noqa: PTH208  (ten times quicker)
    except OSError:
        return []


@dataclass(frozen=True, slots=True)
class _Spot:
    """A folder on the way, and what is known of everything in it."""

    path: Path
    relative: str
    kind: Kind | None


def _walk(top: _Spot, shelf: int, seen: set[tuple[int, int]]) -> Iterator[Entry]:
    waiting = [top]  # not a recursion: folders may lie deeper than Python's stack
    looked_at = 0
    while waiting:
        spot = waiting.pop()
        if not _is_new(spot.path, seen):
            continue
        listed = _listed(spot.path)
        looked_at += len(listed)
        if looked_at > MOST:
            where = escape(str(top.path))
            raise UsageError(f"{where} holds more than {MOST:,} files: name the folder of models")
        indexed = any(path.name.endswith(INDEX) for path in listed)
        deeper = list[_Spot]()
        for path in listed:
            if path.name.startswith(".") or (indexed and SHARD.search(path.name)):
                continue
            relative = f"{spot.relative}{path.name}"
            if _is_model(path, spot.kind):
                yield Entry(path, relative, _kind(path, spot.kind), shelf)
            elif is_folder(path):
                deeper.append(_inner(path, relative, spot.kind))
        waiting += reversed(deeper)


def _inner(path: Path, relative: str, kind: Kind | None) -> _Spot:
    """A folder inside one whose kind is known is a drawer of it; names count from the latter."""
    own = BY_FOLDER.get(path.name.lower()) if kind is None else None
    return _Spot(path, "" if own else f"{relative}/", own or kind)


def _is_model(path: Path, kind: Kind | None) -> bool:
    low = path.name.lower()
    if ".preview." in low:
        return False
    if low.endswith(SUFFIXES) or low.endswith(INDEX):
        return is_file(path)
    if path.suffix.lower() in PICTURES:
        return kind == "embedding" and is_file(path)
    return is_folder(path) and is_model_folder(path)


def _kind(path: Path, kind: Kind | None) -> Kind | None:
    return "vae" if VAE_BESIDE.search(path.name) and kind in ("checkpoint", None) else kind


def is_systems(path: Path) -> bool:
    """True for a folder on one of the devices of SYSTEMS."""
    return (device := _device(path)) is not None and device in _systems()


@lru_cache(maxsize=1)
def _systems() -> frozenset[int | None]:
    # Where nothing is mounted there, it is a folder like others.
    return frozenset(_device(Path(name)) for name in SYSTEMS) - {_device(Path("/"))}


def _device(path: Path) -> int | None:
    try:
        return path.stat().st_dev
    except (OSError, ValueError):
        return None


def _is_new(path: Path, seen: set[tuple[int, int]]) -> bool:
    """False for a folder that was met before under another name: a link, perhaps in a circle."""
    try:
        status = path.stat()
    except OSError:
        return False
    if not status.st_ino:  # a file system without such numbers
        return True
    key = (status.st_dev, status.st_ino)
    if key in seen or status.st_dev in _systems():
        return False
    seen.add(key)
    return True
