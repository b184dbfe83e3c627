"""The models in a folder: which paths are worth opening, and which belong to another one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

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
    return any((path / mark).is_file() for mark in FOLDER_MARKS)


def discover(folder: Path) -> Iterator[Path]:
    """Paths below `folder` that may be models, in name order.

    Links are followed to files, not to folders. Hidden files, side files and the pieces of a set
    whose index is beside them are passed over.
    """
    entries = sorted(folder.iterdir())
    indexed = any(path.name.endswith((".index.json", ".index")) for path in entries)
    for path in entries:
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from [path] if is_model_folder(path) else discover(path)
        elif not _side(path) and not (indexed and SHARD.search(path.name)):
            yield path


def _side(path: Path) -> bool:
    if path.name.endswith(".index.json"):
        return False
    if ".preview." in path.name:
        return True
    return path.suffix.lower() in SIDE_FILES
