"""A folder of pictures with captions: beside them, in a list, in their names, or in one word."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from hashlib import file_digest
from pathlib import Path
from typing import cast

from sfumato.containers.text import escape
from sfumato.errors import BadFile, Damaged, Refused, Unreadable, UsageError
from sfumato.training.data.captions import with_word
from sfumato.training.data.items import Found, Item
from sfumato.training.data.picture import SUFFIXES, UNREAD, read_picture

SIDECARS = (".txt", ".caption")
LISTS = ("metadata.jsonl", "captions.jsonl")
"""JSON lines with `file_name` and `text`, as Hugging Face datasets have them"""

REPEATED = re.compile(r"(\d{1,4})_(.+)")
"""a folder of kohya's: how often its pictures are drawn, and a caption for those without one"""
CAMERA = re.compile(r"(?i)(img|dsc|image|photo|picture|screenshot|untitled|p|pxl)?[\W_\d]*")
"""a file name that says nothing: numbers, or what a camera calls its pictures"""


def find_pictures(folder: Path, *, trigger: str = "", regularisation: bool = False) -> Found:
    """Every picture below `folder`, with what is said of it; one that cannot be read is left out.

    trigger: a word put before every caption that lacks it, and the caption of the others.
    Raises UsageError where there is no such folder, Refused where it holds no picture.
    """
    if not folder.is_dir():
        raise UsageError(f"{escape(str(folder))}: there is no such folder of pictures")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [path for path in files if not _is_hidden(path.relative_to(folder))]
    paths = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise Refused(_nothing(folder, files))
    listed = dict(_listed(folder))
    sources: Counter[str] = Counter()
    items, faults = list[Item](), list[str]()
    for path in paths:
        texts, source = _captions(path, folder, listed, trigger)
        try:
            items.append(_item(path, folder, texts, regularisation=regularisation))
        except (BadFile, Unreadable) as error:
            faults.append(f"left out: {error}")
            continue
        sources[source] += 1
    if not items:
        raise Refused(f"{folder}: none of its {len(paths)} pictures can be read; {faults[0]}")
    notes = (*_notes(items, sources, trigger), *_strays(folder, files, listed), *faults)
    return Found(tuple(items), notes)


def _nothing(folder: Path, files: list[Path]) -> str:
    """Why a folder teaches nothing."""
    endings = ", ".join(sorted(SUFFIXES))
    there = sorted({path.suffix.lower() for path in files if path.suffix})
    found = f"its {len(files)} files end in {escape(', '.join(there))}" if there else "it is empty"
    return f"{escape(str(folder))}: holds no picture that ends in {endings}; {found}"


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _listed(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(p for name in LISTS for p in folder.rglob(name)):
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = cast("Mapping[str, object]", json.loads(line))
                name, text = str(row["file_name"]), str(row["text"])
            except (ValueError, KeyError, TypeError) as error:
                raise Damaged(
                    path, f"line {number} is not JSON with `file_name` and `text`"
                ) from error
            yield Path(os.path.relpath(path.parent / name, folder)).as_posix(), text


def _captions(
    path: Path, folder: Path, listed: Mapping[str, str], trigger: str
) -> tuple[tuple[str, ...], str]:
    """The captions of a picture, and where they are from."""
    name = path.relative_to(folder).as_posix()
    for suffix in SIDECARS:
        beside = path.with_suffix(suffix)
        if beside.is_file():
            lines = beside.read_text("utf-8", errors="replace").splitlines()
            texts = tuple(line.strip() for line in lines if line.strip())
            return tuple(with_word(text, trigger) for text in texts or ("",)), suffix
    if name in listed:
        return (with_word(listed[name], trigger),), "a list"
    words = re.sub(r"[_\s]+", " ", path.stem).strip()
    if not CAMERA.fullmatch(path.stem) and " " in words:
        return (with_word(words, trigger),), "file names"
    named = REPEATED.fullmatch(path.parent.name) if path.parent != folder else None
    if named:
        return (with_word(named[2].replace("_", " "), trigger),), "folder names"
    return (trigger,), "the trigger word" if trigger else "nowhere"


def _item(path: Path, folder: Path, texts: tuple[str, ...], *, regularisation: bool) -> Item:
    named = REPEATED.fullmatch(path.parent.name) if path.parent != folder else None
    try:
        with path.open("rb") as file:
            digest = file_digest(file, "blake2b").hexdigest()[:32]
    except OSError as error:
        raise Unreadable(path, f"cannot be read: {error.strerror}") from error
    return Item(
        path.relative_to(folder).as_posix(),
        digest,
        read_picture(path).size,
        texts,
        partial(read_picture, path),
        repeats=max(int(named[1]), 1) if named else 1,
        regularisation=regularisation,
    )


def _notes(items: list[Item], sources: Counter[str], trigger: str) -> Iterator[str]:
    sides = sorted({item.size for item in items}, key=lambda side: side[0] * side[1])
    smallest, largest = (f"{w}×{h}" for w, h in (sides[0], sides[-1]))
    size = smallest if len(sides) == 1 else f"from {smallest} to {largest}"
    yield f"{_many(len(items), 'picture')}, {size} pixels"
    for source, count in sources.most_common():
        if source != "nowhere":
            yield f"captions of {count} from {source}"
            continue
        cure = "put a .txt file beside each, or give a trigger word"
        yield f"{count} of {len(items)} have no caption at all: {cure}"
    if trigger and sources["the trigger word"] < len(items):
        yield f"every caption holds the trigger word {trigger!r}"
    same = Counter(item.digest for item in items)
    twice = [item.name for item in items if same[item.digest] > 1]
    if twice:
        yield f"{_many(len(twice), 'file')} hold a picture that is there twice: {_some(twice)}"


def _strays(folder: Path, files: list[Path], listed: Mapping[str, str]) -> Iterator[str]:
    """Files that a person may have meant to be learned, and that are not."""
    names = {path.relative_to(folder).as_posix() for path in files}
    stems = {path.with_suffix("") for path in files if path.suffix.lower() in SUFFIXES}
    alone = [p.name for p in files if p.suffix in SIDECARS and p.with_suffix("") not in stems]
    if alone:
        yield f"{_many(len(alone), 'caption')} without a picture: {_some(alone)}"
    missing = [name for name in listed if name not in names]
    if missing:
        yield f"{_many(len(missing), 'picture')} of the list that are not there: {_some(missing)}"
    unread = [path.name for path in files if path.suffix.lower() in UNREAD]
    if unread:
        yield f"{_many(len(unread), 'file')} of a kind that is not read: {_some(unread)}"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _some(names: list[str]) -> str:
    more = " …" if len(names) > 3 else ""
    return ", ".join(escape(name, 60) for name in names[:3]) + more
