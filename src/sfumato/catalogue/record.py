"""The record of published model files, and of the lines they belong to.

The facts were collected from public model records; `PublishedFile.confidence` says how well each
is attested. What is not on record is left empty, never guessed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

DATA = Path(__file__).with_name("data")


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One file as somebody published it; a field is empty where nothing is on record."""

    line: str
    """key of the PublishedLine it belongs to"""
    name: str
    edition: str
    family: str
    """sd1 | sd2 | sdxl | sdxl-refiner | ssd-1b | segmind-vega"""
    variant: str
    """inpainting | v-prediction | depth | upscaler-x4 | unclip | edm; empty for the plain model"""
    kind: str
    """checkpoint | unet | vae | text-encoder | image-encoder | lora | embedding | taesd …"""
    files: tuple[str, ...]
    """file names that these bytes go under, the publisher's first"""
    home: str
    """the repository or folder that tells files of one name apart"""
    size: int
    """bytes; 0 where no exact size is on record"""
    dtype: str
    """F16 or F32: the type of most numbers"""
    ema: str
    """ema-only: the averaged weights, stored as the ordinary ones · both · non-ema: raw weights"""
    sha256: str
    """all 64 digits, or the first 12 or 10 where no more is on record"""
    payload: str
    """AutoV3, 64 or 12 digits"""
    blake3: str
    crc32: str
    """in the ordinary byte order; Civitai prints the four bytes reversed"""
    autov1: str
    """the old 8-digit hash: never proof"""
    quick: str
    confidence: str
    """P: the record of publisher or host, or computed · S+: several others agree · S: one source"""
    flags: tuple[str, ...]
    """autov1-shared: other files have the same old hash · autov1-by-name: the old hash comes from
    another source and only the name connects it · single-copy: the host's record was read in one
    copy · unnamed-source: confirm on a real file first"""
    note: str

    @property
    def autov2(self) -> str:
        """The first 10 digits of SHA-256."""
        return self.sha256[:10]

    @property
    def title(self) -> str:
        """Name, edition and file name, as a person says them."""
        file = f" ({self.files[0]})" if self.files else ""
        return f"{self.name} {self.edition}".strip() + file


@dataclass(frozen=True, slots=True)
class Choice:
    """Which edition to take for a purpose."""

    take: tuple[str, ...]
    """file names, the first choice first"""
    why: str


@dataclass(frozen=True, slots=True)
class PublishedLine:
    """A model with all its versions and editions; a field is empty where nothing is known."""

    key: str
    title: str
    kind: str
    """base | checkpoint | vae | lora | embedding"""
    aliases: tuple[str, ...]
    maker: str
    where: str
    about: str
    settings: str
    paint: Choice | None
    """which edition to paint with"""
    tune: Choice | None
    """which edition to fine-tune from or merge"""
    vae: str
    clip_skip: str
    triggers: tuple[str, ...]
    licence: str
    traps: tuple[str, ...]


@cache
def files() -> tuple[PublishedFile, ...]:
    """Every file on record; the files of one line stand together."""
    return tuple(_file(row) for row in cast("list[_FileRow]", _rows("files.json")))


@cache
def lines() -> tuple[PublishedLine, ...]:
    """Every line on record: base models, VAEs, checkpoints, LoRAs, embeddings."""
    return tuple(_line(row) for row in cast("list[_LineRow]", _rows("lines.json")))


def editions(line: PublishedLine) -> tuple[PublishedFile, ...]:
    """All files of a line, in the order of the record."""
    return tuple(file for file in files() if file.line == line.key)


class _FileRow(TypedDict, total=False):
    """A line of data/files.json; what is not known is left out."""

    line: str
    name: str
    edition: str
    family: str
    variant: str
    kind: str
    files: list[str]
    home: str
    size: int
    dtype: str
    ema: str
    sha256: str
    payload: str
    blake3: str
    crc32: str
    autov1: str
    quick: str
    confidence: str
    flags: list[str]
    note: str


class _ChoiceRow(TypedDict):
    take: list[str]
    why: str


class _LineRow(TypedDict, total=False):
    """An entry of data/lines.json; what is not known is left out."""

    key: str
    title: str
    kind: str
    aliases: list[str]
    maker: str
    where: str
    about: str
    settings: str
    paint: _ChoiceRow
    tune: _ChoiceRow
    vae: str
    clip_skip: str
    triggers: list[str]
    licence: str
    traps: list[str]


def _rows(name: str) -> object:
    return json.loads((DATA / name).read_text("utf-8"))


def _file(row: _FileRow) -> PublishedFile:
    return PublishedFile(
        line=row.get("line", ""),
        name=row.get("name", ""),
        edition=row.get("edition", ""),
        family=row.get("family", ""),
        variant=row.get("variant", ""),
        kind=row.get("kind", ""),
        files=tuple(row.get("files", ())),
        home=row.get("home", ""),
        size=row.get("size", 0),
        dtype=row.get("dtype", ""),
        ema=row.get("ema", ""),
        sha256=row.get("sha256", ""),
        payload=row.get("payload", ""),
        blake3=row.get("blake3", ""),
        crc32=row.get("crc32", ""),
        autov1=row.get("autov1", ""),
        quick=row.get("quick", ""),
        confidence=row.get("confidence", ""),
        flags=tuple(row.get("flags", ())),
        note=row.get("note", ""),
    )


def _line(row: _LineRow) -> PublishedLine:
    return PublishedLine(
        key=row.get("key", ""),
        title=row.get("title", ""),
        kind=row.get("kind", ""),
        aliases=tuple(row.get("aliases", ())),
        maker=row.get("maker", ""),
        where=row.get("where", ""),
        about=row.get("about", ""),
        settings=row.get("settings", ""),
        paint=_choice(row.get("paint")),
        tune=_choice(row.get("tune")),
        vae=row.get("vae", ""),
        clip_skip=row.get("clip_skip", ""),
        triggers=tuple(row.get("triggers", ())),
        licence=row.get("licence", ""),
        traps=tuple(row.get("traps", ())),
    )


def _choice(row: _ChoiceRow | None) -> Choice | None:
    return None if row is None else Choice(tuple(row["take"]), row["why"])
