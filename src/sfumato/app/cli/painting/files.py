"""The files that options and repeated pictures name, looked up before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sfumato.app.cli.painting.wish import Asked
from sfumato.containers.source import is_file
from sfumato.containers.text import escape
from sfumato.engine.loading.mixed import is_mix, mix_of
from sfumato.errors import UsageError
from sfumato.library.content import has_hash
from sfumato.library.find import Shelf, expanded, must_be_file
from sfumato.library.folders import Kind, bare
from sfumato.starter.wares import CHECKPOINT

if TYPE_CHECKING:
    from sfumato.engine.pictures.readers.found import Found
    from sfumato.engine.prompt.styles import Styles

BY_PATH: tuple[tuple[str, Kind], ...] = (
    ("embedding", "embedding"),
    ("lora", "lora"),
    ("hypernetwork", "hypernetwork"),
)
"""options that may name a file anywhere, and what it is"""


def shelf_of(given: Mapping[str, Any]) -> Shelf:
    """The folders of --models and the environment, and single files that options name.

    Raises UsageError, with the nearest names, for a folder or a file that is not there: what an
    option names must be there, what a prompt names need not.
    """
    shelf = Shelf.from_environment(given.get("models") or ())
    shelf.files = tuple(_files(given))
    for option, kind in BY_PATH:
        for text in given.get(option) or ():
            if path_in(text) is None:
                _on_shelf(shelf, kind, text)
    return shelf


def _on_shelf(shelf: Shelf, kind: Kind, text: str) -> None:
    """Raise what is wrong with NAME[:WEIGHT] where it is no file's name on the shelf."""
    try:
        shelf.resolve(kind, text.partition(":")[0], paths=False)
    except UsageError:
        _must_be_file(text)
        raise


def _must_be_file(text: str) -> None:
    """Raise Unreadable where NAME[:WEIGHT] is the path of what is no file."""
    must_be_file(text)
    must_be_file(text.rpartition(":")[0])


def styles_of(given: Mapping[str, Any]) -> Styles:
    """The styles of --styles; raises UsageError where --style names none of them."""
    from sfumato.engine.prompt.styles import read_styles

    styles = read_styles(given.get("styles") or ())
    for name in given.get("style") or ():
        if name not in styles:
            near = get_close_matches(str(name), styles, 1, 0.4)
            hint = f"; the nearest is {escape(near[0])}" if near else ""
            where = "in --styles" if given.get("styles") else "without --styles FILE"
            raise UsageError(f"there is no style {escape(name)} {where}{hint}")
    return styles


def _files(given: Mapping[str, Any]) -> Iterator[tuple[Kind, Path]]:
    for option, kind in BY_PATH:
        for text in given.get(option) or ():
            path = path_in(text)
            if path is not None:
                yield kind, path
            elif option == "embedding":
                _must_be_file(text)
                raise UsageError(f"{escape(text)}: there is no such embedding file")


def path_in(text: str) -> Path | None:
    """The file in NAME[:WEIGHT]; None where it is the name of something on the shelf."""
    for candidate in (text, text.rpartition(":")[0]):
        path = expanded(candidate) if candidate and "\0" not in candidate else None
        # A bare name is a name, also where a folder of that name lies here.
        if path is not None and is_file(path) and (path.suffix or path.name != candidate):
            return path
    return None


def named(text: str) -> str:
    """NAME[:WEIGHT] as a prompt's tag has it: a path becomes its file's name."""
    path = path_in(text)
    if path is None:
        return text
    weight = text.rpartition(":")[2] if text != str(path) and ":" in text else ""
    return bare(path.name) + (f":{weight}" if weight else "")


def checkpoint_of(what: Asked, shelf: Shelf) -> tuple[Path, tuple[str, ...]]:
    """The checkpoint to paint with, and what should be known of the choice.

    One that an option names wins; then that of the repeated picture, by its hash and then by its
    name; then the only one in the user's folders, and where these hold none the starter. Raises
    UsageError with the nearest names.
    """
    wanted = what.request.model
    told = what.found.record.fields.get("Model", "") if what.found is not None else ""
    repeated = what.found is not None and wanted == told and not is_mix(wanted, shelf)
    if repeated and what.found is not None and (told or _digits(what.found)):
        return _recorded(what.found, shelf)
    if wanted and is_mix(wanted, shelf):
        return checkpoint_named(wanted, shelf), ()
    if wanted:
        found = shelf.resolve("checkpoint", wanted)
        return found.path, (found.note,) if found.note else ()
    every = shelf.own("checkpoint")
    if len(every) == 1:
        return every[0].path, ()
    if not every and shelf.shipped is not None:
        note = "no checkpoint is named: the starter paints, a small model that ships with Sfumato"
        return shelf.find("checkpoint", CHECKPOINT, paths=False), (note,)
    there = ", ".join(escape(entry.name) for entry in every[:8])
    more = f"; there are {there}{' …' if len(every) > 8 else ''}" if every else ""
    raise click.UsageError(f"say which checkpoint: --model FILE or NAME{more}")


def checkpoint_named(name: str, shelf: Shelf) -> Path:
    """The file of that name; for an expression such as "0.7*A + 0.3*B" that itself, once all its
    models are found. Raises UsageError with the nearest names."""
    if not is_mix(name, shelf):
        return shelf.find("checkpoint", name)
    mix_of(name, shelf)
    return Path(name)


def with_files(what: Asked, shelf: Shelf) -> Asked:
    """The same with the files of the repeated picture other than its checkpoint, as far as found.

    They are looked for by hash and then by name; notes say what is another or not there. Raises
    UsageError, with the nearest names, for a VAE or a refiner that an option names.
    """
    from sfumato.app.cli.painting.recorded import with_adapters

    what = with_adapters(what, shelf)
    what = _with_file(what, shelf, "VAE", "vae")
    return _with_file(what, shelf, "Refiner", "checkpoint")


def _with_file(what: Asked, shelf: Shelf, key: str, kind: Kind) -> Asked:
    """The same with the VAE or the refiner, and without one of the picture that is nowhere."""
    from sfumato.app.cli.painting.recorded import again, told
    from sfumato.engine.pictures.values import named as plain

    field = key.lower()
    wish = {"vae": what.request.vae, "refiner": what.request.refiner}[field]
    if not wish or wish.lower() in ("auto", "automatic", "none"):
        return what
    fields = what.found.record.fields if what.found is not None else dict[str, str]()
    if plain(fields.get(key, "")) != plain(wish):
        shelf.resolve(kind, wish)
        return what
    file = next((file for file in told(what) if file.kind == field), None)
    path, note = (None, "") if file is None else again(shelf, kind, file)
    if path is not None:
        name = str(path) if note else wish
        notes = (*what.notes, note) if note else what.notes
        return replace(what, request=replace(what.request, **{field: name}), notes=notes)
    try:
        shelf.resolve(kind, wish)
    except UsageError as error:
        note = f"the picture's {key}: {error}; it is painted without, and will differ"
        request = replace(what.request, **{field: ""})
        return replace(what, request=request, notes=(*what.notes, note))
    return what


def _recorded(found: Found, shelf: Shelf) -> tuple[Path, tuple[str, ...]]:
    """The checkpoint that a picture was painted with, as far as it can be found."""
    name, digits = found.record.fields.get("Model", ""), _digits(found)
    try:
        called = shelf.resolve("checkpoint", name).path if name else None
    except UsageError as error:
        if not digits:
            raise UsageError(f"the picture's checkpoint: {error}; name one with --model") from None
        called = None
    if called is not None and (not digits or has_hash(called, digits)):
        return called, ()
    same = next((e.path for e in shelf.all("checkpoint") if has_hash(e.path, digits)), None)
    if same is not None:
        return same, (
            f"{escape(same.name)} is the picture's checkpoint {escape(name)} by its hash",
        )
    if called is None:
        return shelf.resolve("checkpoint", name or f"hash:{digits}").path, ()
    return called, (
        f"{escape(called.name)} has the name of the picture's checkpoint and another hash, so the "
        "picture will be another",
    )


def _digits(found: Found) -> str:
    """As much of the checkpoint's hash as the picture tells."""
    told = next((file.sha256 for file in found.files if file.kind == "checkpoint"), "")
    return (told or found.record.fields.get("Model hash", "")).lower()
