"""The files that a repeated picture was painted with, found by hash before they are by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.app.cli.painting.wish import Asked
from sfumato.containers.text import escape
from sfumato.errors import Refused, UsageError
from sfumato.library.content import has_hash
from sfumato.library.folders import BY_KIND, Kind, bare

if TYPE_CHECKING:
    from sfumato.engine.pictures.used import FileUsed
    from sfumato.engine.request import Request
    from sfumato.library.find import Shelf

ADAPTERS: Mapping[str, tuple[Kind, str]] = {
    "lora": ("lora", r"<(?:lora|lyco):\s*{}(?=\s*[:>])"),
    "hypernetwork": ("hypernetwork", r"<hypernet:\s*{}(?=\s*[:>])"),
    "embedding": ("embedding", r"(?<!\w){}(?!\w)"),
}
"""kind in a record → what it is looked up as, and how a prompt names it"""

_DIGITS = re.compile(r"[0-9a-f]{8,64}")


def told(what: Asked) -> tuple[FileUsed, ...]:
    """The files that a repeated picture tells, with as much of their hashes as it does."""
    from sfumato.engine.pictures.told import told_files

    return () if what.found is None else what.found.files or told_files(what.found.record)


def again(shelf: Shelf, kind: Kind, file: FileUsed) -> tuple[Path | None, str]:
    """The file of a picture's hash, or else of its name, and what should be known of that.

    None where there is neither. Without a hash that can be read the name decides.
    """
    title, name = BY_KIND[kind].title, escape(file.name)
    hashes = [text.lower() for text in (file.autov3, file.sha256)]
    hashes = [digits for digits in hashes if _DIGITS.fullmatch(digits)]
    called = _found(shelf, kind, file.name)
    if not hashes or (called is not None and any(has_hash(called, each) for each in hashes)):
        return called, ""
    for digits in hashes:
        same = _found(shelf, kind, f"hash:{digits}")
        if same is not None:
            return same, f"{escape(same.name)} is the picture's {title} {name} by its hash"
    if called is None:
        return None, ""
    return called, (
        f"{escape(called.name)} has another hash than the {title} {name} that the picture was "
        "painted with, so the picture will be another"
    )


def _found(shelf: Shelf, kind: Kind, name: str) -> Path | None:
    try:
        return shelf.find(kind, name, paths=False) if name else None
    except (UsageError, Refused):
        return None


def with_adapters(what: Asked, shelf: Shelf) -> Asked:
    """The same with the very adapters of the repeated picture, as far as they are there.

    Those found by their hashes go before others of their names, and are called in the prompts as
    their files are. What options name as files stays as it is.
    """
    files = told(what)
    given = {(kind, bare(path.name)) for kind, path in shelf.files}
    carriers = {file.sha256 for file in files if file.kind == "lora"}
    for file in files:
        if file.kind not in ADAPTERS or not file.name:
            continue
        kind, pattern = ADAPTERS[file.kind]
        carried = kind == "embedding" and file.sha256 in carriers  # it came inside a LoRA
        call = re.compile(pattern.format(re.escape(file.name)), re.IGNORECASE)
        if carried or (kind, file.name) in given or not call.search(_texts(what.request)):
            continue
        path, note = again(shelf, kind, file)
        if path is None and kind == "embedding":
            note = f"the picture's embedding {escape(file.name)} is not there: its name is text"
        if path is not None and path != _found(shelf, kind, file.name):
            shelf.files = (*shelf.files, (kind, path))
            shelf.refresh()
            what = replace(what, request=_calling(what.request, call, file.name, bare(path.name)))
        if note:
            what = replace(what, notes=(*what.notes, note))
    return what


def _texts(request: Request) -> str:
    hires = request.hires
    second = () if hires is None else (hires.prompt, hires.negative)
    return "\n".join((request.prompt, request.negative, *second))


def _calling(request: Request, call: re.Pattern[str], old: str, new: str) -> Request:
    """A request whose prompts call a file by another name."""

    def renamed(text: str) -> str:
        return call.sub(lambda found: found[0][: len(found[0]) - len(old)] + new, text)

    hires = request.hires
    if hires is not None:
        prompts = renamed(hires.prompt), renamed(hires.negative)
        hires = replace(hires, prompt=prompts[0], negative=prompts[1])
    return replace(
        request, prompt=renamed(request.prompt), negative=renamed(request.negative), hires=hires
    )
