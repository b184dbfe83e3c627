"""All readers, in the order in which they are asked, and the one question to them."""

from __future__ import annotations

import os

from sfumato.engine.pictures.readers.a1111 import read_a1111, read_beside
from sfumato.engine.pictures.readers.carried import carried
from sfumato.engine.pictures.readers.comfyui import read_comfyui
from sfumato.engine.pictures.readers.drawthings import read_draw_things
from sfumato.engine.pictures.readers.easydiffusion import read_easy_diffusion
from sfumato.engine.pictures.readers.fooocus import read_fooocus
from sfumato.engine.pictures.readers.found import Found, Reader
from sfumato.engine.pictures.readers.invokeai import read_invokeai
from sfumato.engine.pictures.readers.novelai import read_novelai
from sfumato.engine.pictures.readers.ours import read_ours
from sfumato.engine.pictures.readers.stealth import read_hidden
from sfumato.engine.pictures.readers.swarmui import read_swarmui

READERS: tuple[Reader, ...] = (
    Reader("Sfumato", read_ours),
    Reader("SwarmUI", read_swarmui),  # these three stand where A1111's text would
    Reader("Fooocus", read_fooocus),
    Reader("Easy Diffusion", read_easy_diffusion),
    Reader("AUTOMATIC1111", read_a1111),
    Reader("InvokeAI", read_invokeai),
    Reader("NovelAI", read_novelai),
    Reader("ComfyUI", read_comfyui),
    Reader("Draw Things", read_draw_things),
    Reader("hidden in the pixels", read_hidden),
    Reader("a text file beside it", read_beside),
)
"""the more particular before the more general"""


def read_picture_record(path: str | os.PathLike[str]) -> Found | None:
    """How a picture was made, by its own account; None where it says nothing that is known.

    PNG, JPEG, WebP, AVIF and GIF, by content. Raises Unreadable, Damaged for a file that breaks its
    format, and NotAModel for one that is no picture.
    """
    found = carried(path)
    answers = (reader.read(found) for reader in READERS)
    return next((answer for answer in answers if answer is not None), None)
