"""Pictures of AUTOMATIC1111's web UI, and of all that write as it does."""

from __future__ import annotations

from sfumato.engine.pictures.infotext import read_text
from sfumato.engine.pictures.readers.carried import Carried
from sfumato.engine.pictures.readers.found import Found

BY_VERSION = (("f", "Forge"), ("ComfyUI", "ComfyUI"), ("Sfumato", "Sfumato"), ("neo", "Forge"))
"""how the version of another program begins"""


def read_a1111(carried: Carried) -> Found | None:
    """The `parameters` of a PNG, the comment of the EXIF data or of a GIF."""
    for text in carried.accounts:
        if text == carried.named("parameters") or "Steps" in read_text(text).fields:
            return found(text, carried)
    return None


def read_beside(carried: Carried) -> Found | None:
    """The text file beside a picture that says nothing itself."""
    if "Steps" not in read_text(carried.beside).fields:
        return None
    return found(carried.beside, carried)


def found(text: str, carried: Carried) -> Found:
    """What a text in A1111's grammar tells."""
    record = read_text(text)
    version = record.fields.get("Version", "")
    program = next((name for start, name in BY_VERSION if version.startswith(start)), "")
    if not program and carried.named("prompt"):
        program = "ComfyUI"
    program = program or record.fields.get("App", "") or "AUTOMATIC1111"
    return Found(program, record, text)
