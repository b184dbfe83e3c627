"""Published model files recognised by their hashes, found by their names.

A name is a label and never evidence: only hashes lead from a file on disk to an entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from sfumato.catalogue.record import Choice as Choice
from sfumato.catalogue.record import PublishedFile as PublishedFile
from sfumato.catalogue.record import PublishedLine as PublishedLine
from sfumato.catalogue.record import editions as editions
from sfumato.catalogue.record import files as files
from sfumato.catalogue.record import lines as lines
from sfumato.containers.hashes import EMPTY, Hashes

SHA256 = 64
"""digits of a whole SHA-256 or BLAKE3"""

Certainty = Literal["certain", "very likely", "likely", "one of these", "related"]
"""certain: all the bytes, or all tensor bytes, are the published ones · very likely: 40 bits or
more of such a hash agree, and no more is on record · likely: a weaker hash of the file agrees ·
one of these: 64 KiB of the file agree with these · related: the same, but the file is another"""


@dataclass(frozen=True, slots=True)
class Match:
    """What one hash says about which published file this is."""

    files: tuple[PublishedFile, ...]
    """the candidates; exactly one where it is certain"""
    certainty: Certainty
    by: str
    """the hash that agrees: SHA-256, BLAKE3, AutoV3, AutoV2, CRC32, quick, AutoV1"""

    @property
    def file(self) -> PublishedFile:
        """The first candidate."""
        return self.files[0]

    def sentence(self) -> str:
        """What the match means, for a person."""
        names = _listed([file.title for file in self.files])
        if self.by == "AutoV3":
            sure = "" if self.certainty == "certain" else " (by 12 digits of their hash)"
            return f"Its tensors are those of {names}{sure}, whatever its header says."
        if self.certainty == "certain":
            return f"It is {names}: its {self.by} is the published one."
        if self.certainty == "very likely":
            return f"It is very likely {names}: the first digits of its SHA-256 agree."
        if self.certainty == "likely":
            return f"It is likely {names}: its {self.by} agrees."
        if self.certainty == "one of these":
            return f"Its old short hash, which covers only 64 KiB, is that of {names}."
        return f"It is not a published file on record, but 64 KiB of it are those of {names}."


@dataclass(frozen=True, slots=True)
class Rule:
    """One hash by which files are compared."""

    by: str
    certainty: Certainty
    ours: Callable[[Hashes], str]
    theirs: Callable[[PublishedFile], str]
    strict: bool = True
    """False where the file may differ otherwise: its header was rewritten, or it is a relative"""


def _whole(digits: str) -> str:
    return digits if len(digits) == SHA256 else ""


RULES: tuple[Rule, ...] = (
    Rule("SHA-256", "certain", lambda h: _whole(h.sha256), lambda f: _whole(f.sha256)),
    Rule("BLAKE3", "certain", lambda h: h.blake3, lambda f: f.blake3, strict=False),
    Rule("AutoV3", "certain", lambda h: _whole(h.payload), lambda f: _whole(f.payload), False),
    Rule("AutoV3", "very likely", lambda h: h.autov3, lambda f: f.payload[:12], False),
    Rule("AutoV2", "very likely", lambda h: h.autov2, lambda f: f.autov2),
    Rule("CRC32", "likely", lambda h: h.crc32, lambda f: f.crc32),
    Rule("quick", "likely", lambda h: h.quick, lambda f: f.quick),
    Rule("AutoV1", "one of these", lambda h: h.autov1, lambda f: f.autov1),
    Rule("AutoV1", "related", lambda h: h.autov1, lambda f: f.autov1, strict=False),
)
"""the ways to recognise a file, the strongest first"""

GUESSES: tuple[tuple[range, Callable[[str], Hashes]], ...] = (
    (range(10, 65), lambda digits: Hashes(sha256=digits)),
    (range(64, 65), lambda digits: Hashes(blake3=digits)),
    (range(12, 65), lambda digits: Hashes(payload=digits)),
    (range(64, 65), lambda digits: Hashes(quick=digits)),
    (range(8, 9), lambda digits: Hashes(crc32=digits)),
    # Civitai prints the bytes of a CRC32 in reverse: its 489F2634 is what others call 34269f48.
    (range(8, 9), lambda digits: Hashes(crc32=bytes.fromhex(digits)[::-1].hex())),
    (range(8, 9), lambda digits: Hashes(autov1=digits)),
)
"""what a hash may be by its number of digits"""


def lookup(hashes: Hashes) -> list[Match]:
    """What published file `hashes` point to: nothing, or the strongest match there is.

    Only some hashes need be known. The short hash of every file of 1 MiB or less matches nothing.
    """
    for rule in RULES:
        ours = rule.ours(hashes)
        if not ours or (rule.by == "AutoV1" and ours == EMPTY):
            continue
        same = (file for file in files() if rule.theirs(file) == ours)
        found = tuple(file for file in same if not (rule.strict and _differ(file, hashes)))
        if found:
            return [Match(found, rule.certainty, rule.by)]
    return []


def find_hash(text: str) -> list[Match]:
    """The published files that a hash printed somewhere may mean, whatever sort of hash it is."""
    digits = text.strip().lower().removeprefix("0x")
    if not is_hash(digits):
        return []
    return [
        match for lengths, guess in GUESSES if len(digits) in lengths
        for match in lookup(guess(digits))
    ]  # fmt: skip


def is_hash(text: str) -> bool:
    """True for 8 to 64 hexadecimal digits."""
    digits = text.strip().lower().removeprefix("0x")
    return 8 <= len(digits) <= SHA256 and set(digits) <= set("0123456789abcdef")


def _differ(file: PublishedFile, hashes: Hashes) -> bool:
    """True where something that is known of both proves that they are not the same bytes."""
    if file.size and hashes.size and file.size != hashes.size:
        return True
    pairs = ((file.sha256, hashes.sha256), (file.blake3, hashes.blake3))
    return any(a[: len(b)] != b[: len(a)] for a, b in pairs if a and b)


def search(
    words: Sequence[str], *, kind: str | None = None, family: str | None = None
) -> list[PublishedFile]:
    """The files whose name, edition, file names or line have all of `words` in them.

    `kind` is that of the file, or "base" for all files of base models; no words find every file.
    """
    return [
        file
        for file in files()
        if (kind in (None, file.kind) or kind == "base" == line_of(file).kind)
        and family in (None, file.family)
        and all(_mentions(_texts(file), word) for word in words)
    ]


def find_line(text: str) -> PublishedLine | None:
    """The line of that title, key or alias, however it is spaced and spelled; None for none."""
    wanted = fold(text)
    return next((line for line in lines() if wanted and wanted in _names(line)), None)


def nearest(text: str, count: int = 3) -> list[str]:
    """Titles of the lines that are spelled most like `text`."""
    from difflib import get_close_matches

    titles = {name: line.title for line in lines() for name in _names(line)}
    close = get_close_matches(fold(text), titles, n=count * 2, cutoff=0.5)
    return list(dict.fromkeys(titles[name] for name in close))[:count]


def line_of(file: PublishedFile) -> PublishedLine:
    """The line that a file belongs to."""
    return _lines_by_key()[file.line]


def relatives(line: PublishedLine) -> list[PublishedLine]:
    """Other lines of which the title holds this one's, or the other way round."""
    name = fold(line.title)
    others = ((other, fold(other.title)) for other in lines() if other is not line)
    return [other for other, title in others if name in title or title in name]


def fold(text: str) -> str:
    """Letters and digits alone, in lower case: "SD 1.5" and "sd1.5" are one name."""
    return "".join(letter for letter in text.lower() if letter.isalnum())


def _names(line: PublishedLine) -> list[str]:
    return [fold(name) for name in (line.key, line.title, *line.aliases)]


def _texts(file: PublishedFile) -> Iterator[str]:
    line = line_of(file)
    # No aliases: "realistic vision v5.1" leads to the line, and says nothing of its other files.
    yield from (file.name, file.edition, *file.files, file.home, line.title, line.maker)


def _mentions(texts: Iterator[str], word: str) -> bool:
    plain, bare = word.lower(), fold(word)
    # Bare digits would find "51" in "SD15 1 step": numbers have to be there as they are written.
    loose = bare if any(letter.isalpha() for letter in bare) else ""
    return any(plain in text.lower() or (loose and loose in fold(text)) for text in texts)


def _listed(titles: list[str], shown: int = 3) -> str:
    more = f" and {len(titles) - shown} more" if len(titles) > shown else ""
    return ", ".join(titles[:shown]) + more


@cache
def _lines_by_key() -> dict[str, PublishedLine]:
    return {line.key: line for line in lines()}
