"""Giving a painted picture the colours of the one that it was painted from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Images

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.float64]
Bytes = NDArray[np.uint8]

TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
"""linear sRGB → CIE XYZ, white D65"""
WHITE = TO_XYZ.sum(1)
LUMA = np.array([0.3, 0.59, 0.11])
"""of the compositing specification, https://www.w3.org/TR/compositing-1/#blendingnonseparable"""


def corrected(painted: Image, original: Image) -> Image:
    """`painted` with the colours of `original` and its own luminosity (A1111's correction).

    The histograms of L, a and b (8 bits each) are matched to those of `original`; then the
    luminosity of `painted` is put back. An RGB picture of the size of `painted`.
    """
    pixels = np.asarray(painted.convert("RGB"))
    lab, wanted = to_lab(pixels), to_lab(np.asarray(original.convert("RGB")))
    matched = np.stack([match(lab[..., k], wanted[..., k]) for k in range(3)], -1)
    mixed = with_luminosity(to_rgb(matched) / 255, pixels / 255)
    return Images.fromarray(np.rint(255 * mixed).astype(np.uint8), "RGB")


def match(values: Bytes, wanted: Bytes) -> Bytes:
    """8-bit values whose cumulative histogram is that of others, as near as can be."""
    counts, targets = (np.bincount(a.ravel(), minlength=256) for a in (values, wanted))
    present = np.flatnonzero(targets)
    have = np.cumsum(counts) / max(1, values.size)
    want = np.cumsum(targets)[present] / max(1, wanted.size)
    return np.interp(have, want, present).astype(np.uint8)[values]


def to_lab(pixels: Bytes) -> Bytes:
    """CIE L*a*b* of sRGB bytes (…, 3), in 8 bits: L · 255/100, a + 128, b + 128."""
    value = pixels / 255
    linear: Pixels = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    xyz: Pixels = linear @ TO_XYZ.T / WHITE
    f: Pixels = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    y = xyz[..., 1]
    lightness: Pixels = np.where(y > 0.008856, 116 * f[..., 1] - 16, 903.3 * y)
    a, b = 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])
    lab = np.stack([lightness * 2.55, a + 128, b + 128], -1)
    return np.rint(lab).clip(0, 255).astype(np.uint8)


def to_rgb(lab: Bytes) -> Bytes:
    """sRGB bytes of 8-bit L*a*b*; colours outside are cut."""
    values = lab.astype(np.float64)
    fy = (values[..., 0] / 2.55 + 16) / 116
    fx, fz = fy + (values[..., 1] - 128) / 500, fy - (values[..., 2] - 128) / 200
    xyz = np.stack([np.where(f > 6 / 29, f**3, (f - 16 / 116) / 7.787) for f in (fx, fy, fz)], -1)
    linear: Pixels = ((xyz * WHITE) @ np.linalg.inv(TO_XYZ).T).clip(0, 1)
    value: Pixels = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    return np.rint(255 * value.clip(0, 1)).astype(np.uint8)


def with_luminosity(colours: Pixels, lights: Pixels) -> Pixels:
    """Hue and saturation of one picture, luminosity of another; both (…, 3) in 0 … 1."""
    moved = colours + ((lights - colours) @ LUMA)[..., None]
    light = (moved @ LUMA)[..., None]
    low, high = moved.min(-1, keepdims=True), moved.max(-1, keepdims=True)
    down = light / np.maximum(light - low, 1e-9)
    moved = np.where(low < 0, light + (moved - light) * down, moved)
    up = (1 - light) / np.maximum(high - light, 1e-9)
    return np.where(high > 1, light + (moved - light) * up, moved).clip(0, 1)
