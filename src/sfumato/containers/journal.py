"""What a file's pickles would have imported, called and set, had they been executed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["import", "call", "set-state", "persistent-id", "note"]
Risk = Literal["allowed", "inert", "refused"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that executing the pickle would have done."""

    kind: Kind
    name: str
    """dotted name, such as os.system; escaped for display"""
    risk: Risk
    """allowed: emulated by this package · inert: kept as a lifeless record · refused: dangerous"""
    offset: int
    """byte offset of the opcode inside its pickle stream"""
    where: str
    """the stream: a zip member, or "pickle 4 of 5" in a stacked file"""
    arguments: str = ""
    """literal arguments, escaped and shortened; only kept for what is refused or inert"""


@dataclass(slots=True)
class Journal:
    """Events in the order in which they would have happened."""

    events: list[Event] = field(default_factory=list[Event])
    room: int = field(default=-1, repr=False, compare=False)
    """bytes the walk may still copy, over all streams and what lies inside them; -1 before it"""
    steps: int = field(default=0, repr=False, compare=False)
    """opcodes walked, over all streams"""
    peeked: int = field(default=0, repr=False, compare=False)
    """opcodes walked in literals that nobody runs"""

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def add(self, event: Event) -> None:
        """Append one event."""
        self.events.append(event)

    @property
    def refused(self) -> list[Event]:
        """The events for which a file is called dangerous."""
        return [event for event in self.events if event.risk == "refused"]

    @property
    def dangerous(self) -> bool:
        """True where executing the pickle could run foreign code."""
        return any(event.risk == "refused" for event in self.events)

    def names(self, risk: Risk | None = None) -> list[str]:
        """Every imported or called name once, in order of first appearance."""
        chosen = (e.name for e in self.events if e.kind != "note" and risk in (None, e.risk))
        return list(dict.fromkeys(chosen))
