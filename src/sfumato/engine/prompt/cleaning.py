"""Text made plain before it is cut into tokens: what A1111's tokenizers do by way of ftfy.

Both CLIP tokenizers that AUTOMATIC1111's web UI uses pass text through ftfy (its requirements bring
it in): typographic quotes, ligatures and full-width letters become plain ones, "&amp;" becomes "&".
This does the same, but for one step: text that was decoded with the wrong table ("â€œ") is not
guessed at.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import cache
from html.entities import html5

_ENTITY = re.compile(r"&#?[0-9A-Za-z]{1,24};")
_TERMINAL = re.compile(r"\x1b\[[\d;]*[a-zA-Z]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_LONE = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile("\r\n|[\r\u2028\u2029\x85]")


def plain(text: str) -> str:
    """`text` as ftfy's `fix_text` gives it, but that no broken encoding is guessed at."""
    lines: list[str] = []
    entities = True
    for line in re.split(r"(?<=\n)", text):
        entities = entities and "<" not in line
        lines.append(_settled(line, entities=entities))
    return "".join(lines)


def unescape_twice(text: str) -> str:
    """HTML entities resolved two times over, those without a semicolon too, as open_clip does."""
    return html.unescape(html.unescape(text))


def _settled(line: str, *, entities: bool) -> str:
    """`line` made plain until nothing changes: what was an entity may be a ligature."""
    while True:
        entities = entities and "<" not in line
        made = _once(_ENTITY.sub(_character, line) if entities else line)
        if made == line:
            return line
        line = made


def _once(line: str) -> str:
    if line.isascii() and line.isprintable():
        return line
    line = _LINE_END.sub("\n", line.translate(_letters()))
    line = _PAIR.sub(_joined, line)
    line = _TERMINAL.sub("", _LONE.sub("\ufffd", line)).translate(_controls())
    return unicodedata.normalize("NFC", line)


def _character(entity: re.Match[str]) -> str:
    """What an entity stands for; itself where that is unknown."""
    name = entity[0]
    if name.startswith("&#"):
        found = html.unescape(name)
        return name if ";" in found else found
    return _entities().get(name, name)


def _joined(pair: re.Match[str]) -> str:
    """The character that two surrogates stand for."""
    return pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")


@cache
def _entities() -> dict[str, str]:
    """Entities by name: those of HTML 5, and lower-case ones written in capitals."""
    named = {f"&{name}": value for name, value in html5.items() if name.endswith(";")}
    shouted = {
        name.upper(): value.upper()
        for name, value in named.items()
        if name == name.lower() and html.unescape(name.upper()) == name.upper()
    }
    return named | shouted


# Digraphs that only old character sets need; U+0149 is an apostrophe before an n.
_DIGRAPHS = (
    "\u0132\u0133\u0149\u01f1\u01f2\u01f3\u01c4\u01c5\u01c6\u01c7\u01c8\u01c9\u01ca\u01cb\u01cc"
)
_LIGATURES = "\ufb00\ufb01\ufb02\ufb03\ufb04\ufb06"


@cache
def _letters() -> dict[int, str]:
    """Character → plain ones: C1 controls, ligatures, other widths, quotes."""
    table: dict[int, str] = {}
    for code in range(0x80, 0xA0):
        # As browsers do: Windows-1252, where it has a character.
        table[code] = bytes([code]).decode("cp1252", "ignore") or chr(code)
    for code in (0x3000, *range(0xFF01, 0xFFF0)):
        table[code] = unicodedata.normalize("NFKC", chr(code))
    for character in _DIGRAPHS + _LIGATURES:
        table[ord(character)] = unicodedata.normalize("NFKC", character)
    table[0xFB05] = "\u017ft"
    table |= dict.fromkeys((0x2BC, *range(0x2018, 0x201C)), "'")
    table |= dict.fromkeys(range(0x201C, 0x2020), '"')
    return {code: _uncurled(value) for code, value in table.items()}


def _uncurled(text: str) -> str:
    return re.sub("[\u201c-\u201f]", '"', re.sub("[\u02bc\u2018-\u201b]", "'", text))


@cache
def _controls() -> dict[int, None]:
    """Characters that are left out: controls that are no white space, and marks of old formats."""
    codes = [*range(0x09), 0x0B, *range(0x0E, 0x20), 0x7F]
    codes += [*range(0x206A, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFD)]
    return dict.fromkeys(codes)
