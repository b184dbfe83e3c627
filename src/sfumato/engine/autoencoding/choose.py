"""Which VAE a checkpoint is painted with, by AUTOMATIC1111's rules, and why that one.

Facts: AUTOMATIC1111 modules/sd_vae.py (v1.10.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sfumato.containers.source import is_file
from sfumato.containers.strict_json import JsonError, parse_json
from sfumato.containers.text import escape
from sfumato.errors import SfumatoError, UsageError
from sfumato.library.find import Shelf
from sfumato.library.folders import SUFFIXES, VAE_BESIDE, bare, natural

AUTO = ("auto", "automatic")
NONE = ("none", "baked")

SIDECAR_BYTES = 8 << 20
"""a longer text beside a checkpoint is not read"""


@dataclass(frozen=True, slots=True)
class Choice:
    """A VAE and why it was chosen."""

    path: Path | None
    """None for the one inside the checkpoint"""
    reason: str
    """one clause: "its name begins with the checkpoint's" """
    notes: tuple[str, ...] = ()
    """what was passed over, one sentence each"""

    def sentence(self) -> str:
        """As a person reads it."""
        name = escape(self.path.name) if self.path is not None else "the checkpoint's own"
        return f"VAE: {name}, because {self.reason}"


def choose_vae(
    checkpoint: Path, wish: str = "auto", shelf: Shelf | None = None, *, baked: bool = True
) -> Choice:
    """Choose in A1111's order: what was asked for; what the user noted down for this checkpoint
    (`vae` in the JSON file beside it); a VAE whose file's name begins with the checkpoint's, beside
    it or among the VAEs, an equal name before a longer one; the one inside.

    wish: a name or path, "auto", or "none" for the one inside the checkpoint.
    baked: False for a checkpoint without a VAE of its own.

    Raises UsageError for a VAE that is not there, with the nearest names, and where there is none
    at all.
    """
    shelf = shelf or Shelf()
    if wish.strip().lower() in NONE:
        return _inside(checkpoint, "none other was wanted", (), baked=baked)
    if wish.strip().lower() not in ("", *AUTO):
        found = shelf.resolve("vae", wish)
        return Choice(found.path, "it was asked for", (found.note,) if found.note else ())
    notes = list[str]()
    noted = _noted(checkpoint)
    if noted.lower() in NONE:
        return _inside(checkpoint, f"{_sidecar(checkpoint).name} says none", (), baked=baked)
    if noted and noted.lower() not in AUTO:
        try:
            path = shelf.find("vae", noted)
        except SfumatoError as error:
            notes.append(f"{_sidecar(checkpoint).name} asks for a VAE, but {error}")
        else:
            return Choice(path, f"{escape(_sidecar(checkpoint).name)} says so")
    near = _near(checkpoint, shelf)
    if near is not None:
        return Choice(near, "its name begins with the checkpoint's", tuple(notes))
    return _inside(checkpoint, "no other VAE belongs to it", tuple(notes), baked=baked)


def _inside(checkpoint: Path, reason: str, notes: tuple[str, ...], *, baked: bool) -> Choice:
    if not baked:
        raise UsageError(
            f"{escape(str(checkpoint))} has no VAE inside and {reason}: name one with --vae"
        )
    return Choice(None, reason, notes)


def _sidecar(checkpoint: Path) -> Path:
    """A1111's user metadata."""
    return checkpoint.with_name(f"{bare(checkpoint.name)}.json")


def _noted(checkpoint: Path) -> str:
    """The VAE that the user gave this checkpoint; empty for none."""
    path = _sidecar(checkpoint)
    try:
        if not is_file(path) or path.stat().st_size > SIDECAR_BYTES:
            return ""
        said = parse_json(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except (OSError, JsonError):
        return ""
    vae = said.get("vae") if isinstance(said, dict) else None
    return vae.strip() if isinstance(vae, str) else ""


def _near(checkpoint: Path, shelf: Shelf) -> Path | None:
    """The VAE that goes by the checkpoint's name; an equal name first (A1111 has no such rule)."""
    stem = bare(checkpoint.name)
    equal = {f"{stem}.vae{suffix}" for suffix in SUFFIXES} | {stem + s for s in SUFFIXES}
    named = list(_candidates(checkpoint, stem, shelf))
    return min(named, key=lambda path: (path.name not in equal, natural(path.name)), default=None)


def _candidates(checkpoint: Path, stem: str, shelf: Shelf) -> Iterator[Path]:
    try:
        beside = sorted(checkpoint.parent.iterdir())
    except OSError:
        beside = list[Path]()
    named = (path for path in beside if path.name.startswith(stem))
    yield from (path for path in named if VAE_BESIDE.search(path.name) and is_file(path))
    for entry in shelf.own("vae", stem):
        if entry.path != checkpoint:
            yield entry.path
