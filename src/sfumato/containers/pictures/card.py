"""What a person sees of a picture embedding: its name, its size, and its numbers as a pattern."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 512, 512
INK, SHADE, PAPER = (38, 34, 30), (120, 108, 96), (236, 229, 218)
MARGIN = 32
LETTERS = 26
"""of a name, on one line"""


def draw_card(name: str, lines: tuple[str, ...], vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A card of (HEIGHT, WIDTH, 3): the vectors as rows of grey, with the name beneath."""
    card = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    pattern = _pattern(vectors).resize((WIDTH - 2 * MARGIN, 288), Image.Resampling.NEAREST)
    card.paste(pattern, (MARGIN, MARGIN))
    draw = ImageDraw.Draw(card)
    shown = name if len(name) <= LETTERS else name[: LETTERS - 1] + "…"
    draw.text((MARGIN, 344), shown, fill=INK, font=ImageFont.load_default(36))
    for number, line in enumerate(lines):
        place = (MARGIN, 402 + 28 * number)
        draw.text(place, line, fill=SHADE, font=ImageFont.load_default(20))
    return np.array(card, np.uint8)


def _pattern(vectors: NDArray[np.float32]) -> Image.Image:
    """At most 64 numbers of at most 16 vectors, the largest the darkest."""
    part = np.abs(vectors[:16, :64])
    largest = float(part.max(initial=0)) or 1.0
    strength = (part / largest)[:, :, np.newaxis]
    colours = np.array(PAPER) * (1 - strength) + np.array(INK) * strength
    return Image.fromarray(colours.astype(np.uint8))
