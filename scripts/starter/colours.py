"""The colours of a drawing: which word names them, and the drawing in another colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

HUES = {
    "red": 0.985, "orange": 0.08, "yellow": 0.13, "green": 0.34, "blue": 0.585,
    "purple": 0.74, "pink": 0.92,
}  # fmt: skip
PLAIN = ("black", "white", "gray", "brown")
WORDS = (*HUES, *PLAIN, "grey")


def to_hsv(rgb: Floats) -> tuple[Floats, Floats, Floats]:
    """Hue, saturation, value, each 0 … 1."""
    top, low = rgb.max(-1), rgb.min(-1)
    spread = np.where(top == low, 1, top - low)
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    sector = np.where(
        top == r,
        ((g - b) / spread) % 6,
        np.where(top == g, (b - r) / spread + 2, (r - g) / spread + 4),
    )
    flat = top == low
    return (
        np.where(flat, 0, sector / 6).astype(np.float32),
        np.where(top == 0, 0, (top - low) / np.where(top == 0, 1, top)).astype(np.float32),
        top,
    )


def to_rgb(hue: Floats, saturation: Floats, value: Floats) -> Floats:
    """The inverse of `to_hsv`."""
    sector = np.floor(hue * 6).astype(int) % 6
    rest = hue * 6 - np.floor(hue * 6)
    p, q = value * (1 - saturation), value * (1 - rest * saturation)
    t = value * (1 - (1 - rest) * saturation)
    red = np.choose(sector, (value, q, p, p, t, value))
    green = np.choose(sector, (t, value, value, q, p, p))
    blue = np.choose(sector, (p, p, t, value, value, q))
    return np.stack([red, green, blue], -1).astype(np.float32)


def ink(drawing: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """The drawing's own colours, its transparency taken out, and where it is solid."""
    cover = drawing[..., 3:]
    own = np.where(cover > 0.03, drawing[..., :3] / np.maximum(cover, 1e-3), 1).clip(0, 1)
    return own.astype(np.float32), drawing[..., 3] > 0.5


SECTORS = (
    (14, 42, "orange"), (42, 66, "yellow"), (66, 172, "green"), (172, 252, "blue"),
    (252, 300, "purple"), (300, 345, "pink"),
)  # fmt: skip
"""degrees of hue, from and to; the rest is red"""


def main_colour(drawing: Floats) -> tuple[str, float]:
    """The word for the largest colour of a drawing, and its share of what is drawn."""
    own, solid = ink(drawing)
    if solid.sum() < 8:
        return "white", 0.0
    hue, saturation, value = (part[solid] for part in to_hsv(own))
    degrees = hue * 360
    word = np.full(degrees.shape, "red", dtype="<U6")
    for low, high, name in SECTORS:
        word[(degrees >= low) & (degrees < high)] = name
    word[((degrees >= 330) | (degrees < 14)) & (saturation < 0.55) & (value > 0.75)] = "pink"
    word[(degrees >= 5) & (degrees < 50) & (value < 0.82) & (saturation < 0.85)] = "brown"
    word[(degrees < 50) & (value < 0.55)] = "brown"
    pale = saturation < 0.2
    word[pale] = "gray"
    word[pale & (value > 0.88)] = "white"
    word[value < 0.26] = "black"
    names, counts = np.unique(word, return_counts=True)
    best = int(counts.argmax())
    return str(names[best]), float(counts[best] / solid.sum())


def _main_hue(hue: Floats, weight: Floats) -> float:
    """The middle of the strongest range of hues."""
    bins = np.bincount((hue * 24).astype(int).ravel() % 24, weight.ravel(), 24)
    strongest = int((bins + 0.6 * (np.roll(bins, 1) + np.roll(bins, -1))).argmax())
    near = np.abs((hue - (strongest + 0.5) / 24 + 0.5) % 1 - 0.5) < 1.5 / 24
    angle = hue[near] * 2 * np.pi
    share = weight[near]
    return float(
        np.arctan2((share * np.sin(angle)).sum(), (share * np.cos(angle)).sum()) / (2 * np.pi) % 1
    )


LIFT = {"yellow": 0.35, "orange": 0.55, "pink": 0.45}
FADE = {"pink": 0.62, "yellow": 0.9, "green": 0.85}


def recoloured(drawing: Floats, target: str) -> Floats:
    """The drawing with its main hue turned to `target`; other hues stay as they are.

    So an apple keeps its green leaf. For drawings most of which has one colour.
    """
    own, solid = ink(drawing)
    hue, saturation, value = to_hsv(own)
    weight = saturation * value * (saturation > 0.25) * solid
    if weight.sum() < 1:
        return drawing
    source = _main_hue(hue, weight)
    distance = np.abs((hue - source + 0.5) % 1 - 0.5) * 360
    mask = ((48 - distance) / 14).clip(0, 1) * ((saturation - 0.08) / 0.12).clip(0, 1)
    turned = _turn(own, solid, (hue, saturation, value), source, target)
    mixed = turned * mask[..., None] + own * (1 - mask[..., None])
    return np.concatenate([mixed * drawing[..., 3:], drawing[..., 3:]], -1).astype(np.float32)


def _turn(
    own: Floats, solid: NDArray[np.bool_], hsv: tuple[Floats, Floats, Floats],
    source: float, target: str,
) -> Floats:  # fmt: skip
    hue, saturation, value = hsv
    if target in ("black", "white", "gray"):
        light = (own * np.array([0.3, 0.59, 0.11], np.float32)).sum(-1)
        level = (light / max(float(np.percentile(light[solid], 80)), 0.2)).clip(0, 1.3)
        grey = {"black": 0.22 * level, "gray": 0.6 * level, "white": 0.8 + 0.14 * level}[target]
        return np.repeat(grey.clip(0, 1)[..., None], 3, -1).astype(np.float32)
    if target == "brown":
        hue, saturation, value = (hue - source + 0.065) % 1, saturation * 0.8, value * 0.62
    else:
        hue = (hue - source + HUES[target]) % 1
        value = value * 0.8 if target == "green" else 1 - (1 - value) * LIFT.get(target, 0.85)
        saturation = saturation * FADE.get(target, 1.0)
    return to_rgb(
        hue.clip(0, 0.99999).astype(np.float32),
        saturation.clip(0, 1).astype(np.float32),
        value.clip(0, 1).astype(np.float32),
    )
