"""What the options ask to be painted, from before its files are looked up until it is painted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfumato.engine.request import Request

if TYPE_CHECKING:
    from sfumato.engine.pictures.readers.found import Found


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be painted."""

    request: Request
    notes: tuple[str, ...] = ()
    """what could not be taken from the picture that is repeated, one sentence each"""
    found: Found | None = None
    """what that picture says of itself"""
