"""The models in a folder: which paths are worth opening, and which belong to another one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sfumato.containers.source import is_file, is_folder

SIDE_FILES = frozenset(
    {
        *(".json", ".yaml", ".yml", ".txt", ".md", ".info", ".html", ".csv", ".toml", ".ini"),
        *(".log", ".py", ".sh", ".bat", ".cfg", ".sha256", ".lock", ".meta", ".pdf"),
        *(".gif", ".svg", ".jpg", ".jpeg", ".mp4"),
        *(".aria2", ".crdownload", ".part", ".partial", ".tmp"),
    }
)
"""suffixes that are never opened when a folder is walked; a file named by itself always is"""

PICTURES = frozenset({".png", ".webp"})
"""suffixes that may hold an embedding, and mostly are previews"""

SHARD = re.compile(r"-\d{5}-of-\d{5}\.[a-z]+$|\.data-\d{5}-of-\d{5}$")
"""one piece of a sharded set or of a TensorFlow checkpoint"""

FOLDER_MARKS = ("model_index.json", "adapter_config.json")
"""files that make a folder one model: a diffusers pipeline, a PEFT adapter"""


def is_model_folder(path: Path) -> bool:
    """True where the folder as a whole is one model."""
    return any(is_file(path / mark) for mark in FOLDER_MARKS)


def discover(folder: Path) -> Iterator[Path]:
    """Paths below `folder` that may be models, in name order.

    Links are followed to files, not to folders. Hidden files, side files and the pieces of a set
    whose index is beside them are passed over.
    """
    waiting = [folder]  # not a recursion: folders may lie deeper than Python's stack
    while waiting:
        path = waiting.pop()
        if path is not folder and (not _walkable(path) or is_model_folder(path)):
            yield path
            continue
        try:
            entries = sorted(path.iterdir(), reverse=True)
        except OSError:
            yield path  # opening it says why
            continue
        indexed = any(entry.name.endswith((".index.json", ".index")) for entry in entries)
        waiting += [entry for entry in entries if _worth(entry, indexed=indexed)]


def _walkable(path: Path) -> bool:
    return is_folder(path) and not path.is_symlink()


def _worth(path: Path, *, indexed: bool) -> bool:
    """False for what is hidden, lies beside models, or belongs to a set with an index."""
    if path.name.startswith("."):
        return False
    if is_folder(path):
        return not path.is_symlink() or is_model_folder(path)
    return not (_side(path) or (indexed and SHARD.search(path.name)))


def _side(path: Path) -> bool:
    if path.name.endswith(".index.json"):
        return False
    if ".preview." in path.name:
        return True
    return path.suffix.lower() in SIDE_FILES
