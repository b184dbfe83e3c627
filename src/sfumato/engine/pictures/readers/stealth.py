"""Pictures whose record is hidden in their pixels: NovelAI's, and those of A1111 extensions."""

from __future__ import annotations

from sfumato.engine.pictures.infotext import read_text
from sfumato.engine.pictures.readers import a1111, novelai
from sfumato.engine.pictures.readers.carried import Carried
from sfumato.engine.pictures.readers.found import Found
from sfumato.engine.pictures.readers.json_text import parse, table


def read_hidden(carried: Carried) -> Found | None:
    """The text in the lowest bits of the alpha channel, or of the colours."""
    text = _hidden(carried) if carried.hides else ""
    if not text:
        return None
    texts = table(parse(text))
    if texts:
        return novelai.from_texts(texts, carried)
    return a1111.found(text, carried) if read_text(text).fields else None


def _hidden(carried: Carried) -> str:
    """The hidden text; empty where there is none, or the pixels cannot be decoded."""
    from PIL import Image

    from sfumato.engine.pictures.readers.hidden import hidden_text

    try:
        with Image.open(carried.path, formats=("PNG", "WEBP")) as image:
            return hidden_text(image)
    # All that Pillow raises for broken pictures; a SyntaxError is one of its own.
    except (OSError, SyntaxError, ValueError, EOFError):
        return ""
