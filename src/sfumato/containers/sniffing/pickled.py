"""The question whether a file that begins like a pickle would run something as one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sfumato.containers.journal import Journal
from sfumato.containers.limits import Limits
from sfumato.containers.model_file import PICKLE, TORCH_LEGACY, Container
from sfumato.containers.sniffing.text import is_text
from sfumato.containers.source import Source
from sfumato.errors import BadFile

OPCODES = frozenset(b"(.012FIJKLMNPQRSTUVXabcdeghijlopqrstu]}).BCG") | frozenset(range(0x80, 0x99))
"""bytes that are instructions of the pickle machine"""

PEEK = 1 << 20
"""bytes that are walked; enough to come past any header that another format would need"""

LEGACY = re.compile(
    rb"\x80[\x02-\x05](\x95.{8})?\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\."
    rb"|L119547037146038801333356L?\n",
    re.DOTALL,
)
"""the first of the stacked pickles of old torch files, in every protocol"""

USUAL = re.compile(rb"\x80|\([dlt]p\d+\n|[\]}]q")
"""how pickles begin that no text begins like"""

STARTS = b"(]})"
"""instructions that open a value; where bytes that are no text follow, little else begins so"""


@dataclass(frozen=True, slots=True)
class Peek:
    """What walking the first bytes as a pickle gave."""

    end: int = -1
    """offset after the first pickle; -1 where it did not come to an end"""
    journal: Journal = field(default_factory=Journal)

    @property
    def calls(self) -> bool:
        """True where something would be called, not only looked for: words on lines of their own
        read like imports."""
        done = self.end >= 0
        return any(done or event.kind not in ("import", "note") for event in self.journal.refused)

    @property
    def imports(self) -> bool:
        """True where a name is imported that honest pickles import."""
        return any(e.kind == "import" and e.risk != "refused" for e in self.journal)


def peek(source: Source, limits: Limits) -> Peek:
    """Walk the beginning of a file as a pickle; nothing is executed, and nothing is raised."""
    # Not at the top: most files never come here, and need not wait for the machine.
    from sfumato.containers.pickles.machine import run

    journal = Journal()
    data = source.read(0, min(source.size, PEEK))
    try:
        _, end = run(
            data,
            path=source.path,
            where="pickle",
            journal=journal,
            limits=limits,
            persistent=lambda _: None,
        )
    except BadFile:
        return Peek(journal=journal)
    return Peek(end, journal)


def hidden_pickle(source: Source, head: bytes, limits: Limits) -> Container | None:
    """The pickle format of a file that would run foreign code as a pickle, whatever else it is.

    A file can be two things at once: a text, a program, even a header of safetensors can be
    written so that it is a pickle too. What loads it decides, and one loader is enough.
    """
    if head[0] not in OPCODES or head.startswith(b"PK\3\4") or LEGACY.match(head):
        return None
    if USUAL.match(head) and head[8:9] not in b"{ \t\r\n":
        return None  # a pickle and nothing else: its reader walks it
    found = peek(source, limits)
    return PICKLE if found.calls else None


def sniff_pickle(source: Source, head: bytes, limits: Limits) -> Container | None:
    """The format of a file that is a pickle, begins as one, or comes to its end as one."""
    if LEGACY.match(head):
        return TORCH_LEGACY
    if head[0] not in OPCODES:
        return None
    if USUAL.match(head) or (head[0] in STARTS and head[1] in OPCODES and not is_text(head)):
        return PICKLE
    found = peek(source, limits)
    return PICKLE if found.end == source.size or found.imports or found.calls else None
