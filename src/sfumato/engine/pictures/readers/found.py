"""What a reader finds in a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sfumato.engine.pictures.infotext import Record
from sfumato.engine.pictures.readers.carried import Carried
from sfumato.engine.pictures.used import FileUsed


@dataclass(frozen=True, slots=True)
class Found:
    """How a picture was made, by its own account."""

    program: str
    """the program that wrote it: "AUTOMATIC1111", "ComfyUI" …"""
    record: Record
    """in A1111's terms, whoever wrote it"""
    raw: str
    """the text as it stands in the file"""
    files: tuple[FileUsed, ...] = ()
    """files that it names by their hash"""
    notes: tuple[str, ...] = ()
    """in what the program differs from A1111, one sentence each"""


@dataclass(frozen=True, slots=True)
class Reader:
    """One program's way of writing."""

    program: str
    read: Callable[[Carried], Found | None]
    """None for what the program did not write; never raises"""
