"""A file by the name that a person calls it, wherever it lies in the folders of models."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sfumato.containers.discover import is_model_folder
from sfumato.containers.source import Source, is_file, is_folder
from sfumato.containers.text import escape
from sfumato.errors import Refused, UsageError
from sfumato.library.content import content, has_hash, labels
from sfumato.library.folders import (
    BY_KIND,
    VAE_BESIDE,
    Entry,
    Kind,
    Sort,
    bare,
    entries,
    is_systems,
    natural,
)
from sfumato.starter.wares import MODELS

VARIABLE = "SFUMATO_MODELS"
"""environment variable that lists folders of models, with the system's separator of paths"""

_HASHED = re.compile(r"(?:hash:|(?P<name>.*?)\s*\[)(?P<digits>[0-9a-fA-F]{6,64})\]?")
"""`hash:abcd123456`, `[abcd123456]`, and A1111's titles `name [abcd123456]`"""

SEVERAL = 4
"""paths or names that one sentence lists"""


@dataclass(frozen=True, slots=True)
class Found:
    """A file, how it was found, and what else has its name."""

    path: Path
    how: str = ""
    """one clause, empty where the name is simply the file's: "by its alias" """
    others: tuple[Path, ...] = ()
    """files of the same name that were passed over"""

    @property
    def note(self) -> str:
        """What a user should know of the choice; empty for nothing."""
        said = [f"{_shown(self.path)} was found {self.how}"] if self.how else []
        if self.others:
            said.append(f"{_shown(self.path)} goes before {_paths(self.others)} of the same name")
        return "; ".join(said)


@dataclass(slots=True)
class Shelf:
    """Folders of models, walked when the first name is asked for."""

    folders: tuple[Path, ...] = ()
    """in the order in which they win where a name is there twice"""
    _entries: tuple[Entry, ...] | None = field(default=None, repr=False)
    files: tuple[tuple[Kind, Path], ...] = ()
    """single files, which win over those in folders, each with what it is asked for as"""
    shipped: Path | None = None
    """a folder that comes last, of models that are not the user's: the starter's"""

    @classmethod
    def from_environment(cls, folders: Iterable[str | os.PathLike[str]] = ()) -> Shelf:
        """`folders`, then those of SFUMATO_MODELS, and behind them the starter models.

        Raises UsageError for a folder that is not there.
        """
        named = [expanded(folder) for folder in folders]
        for folder in named:
            if not is_folder(folder):
                raise UsageError(f"{_shown(folder)} is no folder, and models are looked for in it")
            if is_systems(folder):
                raise UsageError(f"{_shown(folder)} holds what the system tells, and no models")
        listed = os.environ.get(VARIABLE, "").split(os.pathsep)
        also = (expanded(text) for text in listed if text.strip())
        others = (folder for folder in also if folder not in named)
        return cls((*named, *others), shipped=MODELS)

    def find(self, kind: Kind, name: str, *, paths: bool = True) -> Path:
        """The file that `name` means; `resolve` says how it was found."""
        return self.resolve(kind, name, paths=paths).path

    def resolve(self, kind: Kind, name: str, *, paths: bool = True) -> Found:
        """Find a file by path, by name, by a LoRA's alias, or by hash where one is written.

        A name is that of the file or its path below the folder of its kind, with or without
        suffix; other capitals are taken where nothing fits exactly. The first folder wins, then
        formats that hold no program, and `Found.others` lists what came later.
        paths: False where the name comes from a prompt and may not lead out of the folders.

        Raises UsageError with the nearest names where there is no such file, Refused for an alias
        that two files have, and Unreadable for the path of what is no file.
        """
        name = name.strip()
        given = _given(name) if paths else None
        if given is not None:
            return Found(given)
        found = self._named(kind, name)
        if found is None and self._entries is not None and self._is_stale():
            found = self._named(kind, name)
        if found is None:
            if paths:
                must_be_file(name)
            raise UsageError(self._unknown(BY_KIND[kind], name))
        return found

    def all(self, kind: Kind, start: str = "") -> list[Entry]:
        """Every file of a kind, the winner of each name first, in order of name.

        Files whose folder does not tell their kind are opened, once.
        start: only files whose name begins so.
        """
        named = (entry for entry in self._walked() if entry.path.name.startswith(start))
        own = [entry for entry in named if _is(entry, kind)]
        return sorted(own, key=lambda entry: (natural(entry.name), entry.rank))

    def own(self, kind: Kind, start: str = "") -> list[Entry]:
        """As `all`, without the starter models."""
        return [entry for entry in self.all(kind, start) if entry.shelf < len(self.folders)]

    def unreadable(self, most: int) -> list[tuple[Entry, str]]:
        """Files of at most `most` bytes of which nobody can tell what they are, and why not."""
        unknown = [entry for entry in self._walked() if entry.kind is None]
        faults = [(entry, content(entry.path).fault) for entry in unknown]
        return [
            (e, f) for e, f in faults if f and is_file(e.path) and e.path.stat().st_size <= most
        ]

    def refresh(self) -> None:
        """Forget what was found; the folders are walked again when the next name is asked for."""
        self._entries = None

    def _walked(self) -> tuple[Entry, ...]:
        if self._entries is None:
            own = (Entry(path, path.name, kind, -1) for kind, path in self.files)
            last = () if self.shipped is None else (self.shipped,)
            self._entries = (*own, *entries((*self.folders, *last)))
        return self._entries

    def _is_stale(self) -> bool:
        """True where walking again gives other files."""
        before, self._entries = self._entries, None
        return self._walked() != before

    def _named(self, kind: Kind, name: str) -> Found | None:
        hashed = _HASHED.fullmatch(name)
        plain = (hashed["name"] or "") if hashed else name
        return (
            self._by_name(kind, name)
            or self._by_alias(kind, name)
            or (self._by_name(kind, plain) if hashed and plain else None)
            or (self._by_hash(kind, hashed["digits"].lower()) if hashed else None)
        )

    def _by_name(self, kind: Kind, name: str) -> Found | None:
        wanted = name.replace("\\", "/").removeprefix("./").strip("/")
        if not wanted:
            return None
        for fold in (str, str.casefold):
            target = fold(wanted)
            called = [e for e in self._walked() if target in map(fold, _names(e))]
            fitting = _fitting(called, kind)
            if fitting:
                first, *rest = sorted(fitting, key=lambda entry: entry.rank)
                how = "" if fold is str else "by its name in other capitals"
                return Found(first.path, how, tuple(entry.path for entry in rest))
        return None

    def _by_alias(self, kind: Kind, name: str) -> Found | None:
        if kind != "lora" or not name:
            return None
        for fold in (str, str.casefold):
            same = [e for e in self.all(kind) if fold(labels(e.path).alias) == fold(name)]
            if not same:
                continue
            first, *rest = sorted(same, key=lambda entry: entry.rank)
            if any(entry.name != first.name for entry in rest):
                raise Refused(
                    f"{escape(name)} is the alias of {len(same)} LoRAs, {_paths(_of(same))}: "
                    "call one by the name of its file"
                )
            return Found(first.path, f"by its alias {escape(name)}", tuple(_of(rest)))
        return None

    def _by_hash(self, kind: Kind, digits: str) -> Found | None:
        own = self.all(kind)
        written = [e for e in own if labels(e.path).payload.startswith(digits)]
        same = written or [entry for entry in own if has_hash(entry.path, digits)]
        if not same:
            return None
        first, *rest = sorted(same, key=lambda entry: entry.rank)
        return Found(first.path, f"by its hash {digits}", tuple(_of(rest)))

    def _unknown(self, sort: Sort, name: str) -> str:
        from difflib import get_close_matches

        known = dict.fromkeys(entry.name for entry in self.all(sort.kind))
        folded = {other.casefold(): other for other in known}
        close = get_close_matches(bare(name).casefold(), folded, n=SEVERAL, cutoff=0.5)
        near = ", ".join(escape(folded[other]) for other in close)
        if not self.folders:
            return (
                f"there is no {sort.title} {escape(name)}: give its path, or the folders of models "
                f"with --models or {VARIABLE}" + (f"; the nearest: {near}" if near else "")
            )
        own = dict.fromkeys(entry.name for entry in self.own(sort.kind))
        hint = f"; the nearest: {near}" if near else f", which has {_count(own, sort)}"
        return f"there is no {sort.title} {escape(name)} in {_paths(self.folders)}{hint}"


def expanded(text: str | os.PathLike[str]) -> Path:
    """A path with `~` in place; as it stands where nobody has that home."""
    try:
        return Path(text).expanduser()
    except (RuntimeError, ValueError):  # a zero byte in the name of a home
        return Path(text)


def must_be_file(name: str) -> None:
    """Raise Unreadable, saying what it is, where `name` is the path of something that is no file.

    A bare name is a name, also where a folder of that name lies here.
    """
    path = expanded(name)
    if path.name and (path.suffix or path.name != name) and os.path.lexists(path):
        Source(path).close()


def _given(name: str) -> Path | None:
    """The path that `name` is; None where it is the name of something on the shelf."""
    path = expanded(name) if name and "\0" not in name else None
    if path is None:
        return None
    if is_file(path) and (path.suffix or path.name != name):
        return path
    return path if path.name != name and is_folder(path) and is_model_folder(path) else None


def _names(entry: Entry) -> Iterator[str]:
    yield entry.relative
    yield entry.path.name
    for name in (entry.relative, entry.path.name):
        yield bare(name)
        if VAE_BESIDE.search(name):
            yield VAE_BESIDE.sub("", name)


def _fitting(called: Sequence[Entry], kind: Kind) -> list[Entry]:
    """Those of a kind; failing them a VAE's small stand-ins, then files that cannot be read."""
    own = [entry for entry in called if _is(entry, kind)]
    if not own and kind == "vae":
        own = [entry for entry in called if _is(entry, "preview")]
    # Opening an unreadable file says what is wrong with it, and that is the better answer.
    return own or [e for e in called if e.kind is None and content(e.path).fault]


def _is(entry: Entry, kind: Kind) -> bool:
    return (entry.kind or content(entry.path).kind) == kind


def _of(found: Iterable[Entry]) -> list[Path]:
    return [entry.path for entry in found]


def _shown(path: Path) -> str:
    return escape(str(path))


def _paths(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - SEVERAL} more" if len(paths) > SEVERAL else ""
    return " and ".join(_shown(path) for path in paths[:SEVERAL]) + more


def _count(known: Iterable[str], sort: Sort) -> str:
    number = len(list(known))
    return f"no {sort.title} at all" if not number else f"only {number} of other names"
