"""Judges of pictures: what can be said of their pixels alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from starter.build import GROUNDS, NIGHT, WHITE
from starter.colours import main_colour

Picture = NDArray[np.uint8]
"""(height, width, 3)"""
Mask = NDArray[np.bool_]
"""(height, width)"""
Colour = NDArray[np.float64]
"""red, green, blue, 0 … 255"""

PALETTE = {**GROUNDS, "white": WHITE, "night": NIGHT}
"""every paper that is trained on"""

NEAR = 14
"""largest difference of a channel from the border's colour within the paper"""

LEAST = 0.02
"""share of a picture below which nothing is painted"""

LUMA = np.array([0.299, 0.587, 0.114])
"""brightness of red, green and blue (BT.601)"""


def edge(picture: Picture) -> Colour:
    """The colour of the border: the median of a frame one sixteenth wide."""
    width = max(1, len(picture) // 16)
    frame = np.ones(picture.shape[:2], bool)
    frame[width:-width, width:-width] = False
    return np.median(picture[frame], axis=0)


def paper(picture: Picture) -> str:
    """The word of the palette that is nearest to the colour of the border."""
    colour = edge(picture)
    return min(PALETTE, key=lambda word: float(np.linalg.norm(colour - PALETTE[word])))


def thing(picture: Picture) -> Mask:
    """Where something is painted: all but the paper that reaches in from the border."""
    plain = np.abs(picture - edge(picture)).max(-1) <= NEAR
    reached = np.zeros_like(plain)
    reached[[0, -1]], reached[:, [0, -1]] = plain[[0, -1]], plain[:, [0, -1]]
    while True:
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        grown &= plain
        if (grown == reached).all():
            return ~reached
        reached = grown


def colour(picture: Picture) -> str:
    """The word for the colour of most of the thing that is painted.

    Words have the ranges of hue, saturation and value by which the captions were made; "nothing"
    where less than a fiftieth of the picture is painted.
    """
    cover = thing(picture)[..., None]
    if cover.mean() < LEAST:
        return "nothing"
    drawing = np.concatenate([picture / np.float32(255) * cover, cover], -1, dtype=np.float32)
    return main_colour(drawing)[0]


def saturation(picture: Picture) -> float:
    """The mean difference of the strongest and the weakest channel, 0 … 1."""
    return float((picture.max(-1) - picture.min(-1)).mean() / 255)


def luminance(picture: Picture) -> float:
    """The mean brightness, 0 … 1."""
    return float((picture @ LUMA).mean() / 255)


def warmth(picture: Picture) -> float:
    """The mean of red less the mean of blue, -1 … 1."""
    return float((picture[..., 0].mean() - picture[..., 2].mean()) / 255)


def tinted(picture: Picture, factors: tuple[float, ...]) -> Picture:
    """The picture with its channels multiplied."""
    return np.rint((picture * np.array(factors)).clip(0, 255)).astype(np.uint8)


def squared_error(picture: Picture, other: Picture) -> float:
    """The mean squared difference of pictures as they are saved, of 1."""
    return float(np.square((picture.astype(float) - other) / 255).mean())


def psnr(error: float) -> float:
    """A mean squared error in decibels."""
    return float(-10 * np.log10(max(error, 1e-10)))
