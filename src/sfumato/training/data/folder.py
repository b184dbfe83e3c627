"""A folder of pictures with captions: beside them, in a list, in their names, or in one word."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sfumato.containers.text import escape
from sfumato.errors import BadFile, Damaged, Refused, Unreadable, UsageError
from sfumato.training.data.items import Found, Item

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
SIDECARS = (".txt", ".caption")
LISTS = ("metadata.jsonl", "captions.jsonl")
"""JSON lines with `file_name` and `text`, as Hugging Face datasets have them"""

REPEATED = re.compile(r"(\d{1,4})_(.+)")
"""a folder of kohya's: how often its pictures are drawn, and a caption for those without one"""
CAMERA = re.compile(r"(?i)(img|dsc|image|photo|picture|screenshot|untitled|p|pxl)?[\W_\d]*")
"""a file name that says nothing: numbers, or what a camera calls its pictures"""


def find_pictures(folder: Path, *, trigger: str = "", regularisation: bool = False) -> Found:
    """Every picture below `folder`, with what is said of it.

    trigger: a word put before every caption that lacks it, and the caption of the others.
    Raises UsageError where there is no such folder, Refused where it holds no picture.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder of pictures")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    paths = [path for path in paths if not _is_hidden(path.relative_to(folder))]
    if not paths:
        raise Refused(
            f"{folder}: no pictures in it; expected files that end in {', '.join(sorted(SUFFIXES))}"
        )
    listed = dict(_listed(folder))
    sources: Counter[str] = Counter()
    items, faults = list[Item](), list[str]()
    for path in paths:
        texts, source = _captions(path, folder, listed, trigger)
        try:
            item = _item(path, folder, texts, regularisation=regularisation)
        except (BadFile, Unreadable) as error:
            faults.append(f"left out: {error}")
            continue
        items.append(item)
        sources[source] += 1
    if not items:
        raise Refused(f"{folder}: none of its {len(paths)} pictures can be read; {faults[0]}")
    return Found(tuple(items), (*_notes(items, sources, trigger), *faults))


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
            yield (path.parent / name).relative_to(folder).as_posix(), text


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
            return tuple(with_trigger(text, trigger) for text in texts or ("",)), suffix
    if name in listed:
        return (with_trigger(listed[name], trigger),), "a list"
    words = re.sub(r"[_\s]+", " ", path.stem).strip()
    if not CAMERA.fullmatch(path.stem) and " " in words:
        return (with_trigger(words, trigger),), "file names"
    named = REPEATED.fullmatch(path.parent.name) if path.parent != folder else None
    if named:
        return (with_trigger(named[2].replace("_", " "), trigger),), "folder names"
    return (trigger,), "the trigger word" if trigger else "nowhere"


def with_trigger(text: str, trigger: str) -> str:
    """`text` with `trigger` in it: at `[trigger]`, where it stands already, or put in front."""
    if "[trigger]" in text:
        return text.replace("[trigger]", trigger)
    if not trigger or re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", text, re.IGNORECASE):
        return text
    return f"{trigger}, {text}" if text else trigger


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
        repeats=int(named[1]) if named else 1,
        regularisation=regularisation,
    )


def read_picture(path: Path) -> Image:
    """A picture as RGB: turned as its camera says, transparency laid on white.

    Raises Damaged where it is no whole picture.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture)
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Damaged(path, f"is no whole picture: {escape(str(error))}") from error


def _notes(items: list[Item], sources: Counter[str], trigger: str) -> Iterator[str]:
    sides = sorted({item.size for item in items})
    smallest, largest = (f"{w}×{h}" for w, h in (sides[0], sides[-1]))
    size = smallest if len(sides) == 1 else f"from {smallest} to {largest}"
    many = "picture" if len(items) == 1 else "pictures"
    yield f"{len(items)} {many}, {size} pixels"
    for source, count in sources.most_common():
        if source != "nowhere":
            yield f"captions of {count} from {source}"
            continue
        cure = "put a .txt file beside each, or give a trigger word"
        yield f"{count} of them have no caption at all: {cure}"
    if trigger and sources["the trigger word"] < len(items):
        yield f"every caption holds the trigger word {trigger!r}"
