"""The card of a file: everything that can be said of it, whether or not it is a usable model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sfumato.catalogue.cards.memory import Need
from sfumato.catalogue.cards.waste import Waste
from sfumato.catalogue.fingerprint import Fingerprint
from sfumato.catalogue.numbers.health import Health
from sfumato.catalogue.published import Match
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.hashes import Hashes
from sfumato.containers.journal import Journal
from sfumato.containers.model_file import Container, Leaf


@dataclass(frozen=True, slots=True)
class Card:
    """What `inspect` answers for one path."""

    path: Path
    size: int = 0
    """bytes on disk"""
    verdict: str = "clean"
    """clean | dangerous | damaged | unsupported | not-a-model"""
    message: str = ""
    """one sentence on what is wrong; empty for a clean file"""
    container: Container | None = None
    journal: Journal = field(default_factory=Journal)
    identity: Verdict | None = None
    """kind, family, variant, parts …; None for a file that was not opened"""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    extras: Mapping[str, Leaf] = field(default_factory=dict[str, Leaf])
    """values beside the tensors, such as global_step"""
    wrapper: str = ""
    notes: tuple[str, ...] = ()
    hashes: Hashes | None = None
    known: tuple[Match, ...] = ()
    """published files that the hashes point to"""
    fingerprints: tuple[Fingerprint, ...] = ()
    """of every part that holds weights; only where they were asked for"""
    waste: tuple[Waste, ...] = ()
    memory: tuple[Need, ...] = ()
    health: Health | None = None
    advice: tuple[str, ...] = ()
