"""Emoji of the Iconify packages as pictures: SVG text in one JSON file, drawn by resvg."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DRAWN = 256
"""pixels at which an icon is drawn; the sizes in use are exact averages of it"""

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Set:
    """One set of icons."""

    name: str
    package: str
    scale: float
    """side of an icon on its canvas, so that all sets draw things equally large"""
    codes_from: str = ""
    """package whose table of code points is used; its own where empty"""


SETS = (
    Set("flat", "@iconify-json/fluent-emoji-flat", 0.96875),
    Set("noto", "@iconify-json/noto", 0.90625),
    Set("ink", "@iconify-json/fluent-emoji-high-contrast", 0.90625),
    Set("blob", "@iconify-json/noto-v1", 0.875, codes_from="@iconify-json/noto"),
)


class Icons:
    """A set, opened in a folder of npm packages."""

    def __init__(self, packages: Path, icons: Set) -> None:
        self.icons = icons
        self.folder = packages / icons.package
        self.codes_folder = packages / (icons.codes_from or icons.package)

    @cached_property
    def drawings(self) -> dict[str, Any]:
        """The package's `icons.json`."""
        return json.loads((self.folder / "icons.json").read_text("utf-8"))

    @cached_property
    def codes(self) -> dict[str, str]:
        """Code points, in one spelling → name of the icon."""
        table = json.loads((self.codes_folder / "chars.json").read_text("utf-8"))
        return {spelled(code): name for code, name in table.items()}

    def draw(self, code: str) -> Floats | None:
        """The icon of a code point: (256, 256, 4), premultiplied, 0 … 1; None for no icon."""
        name = self.codes.get(code)
        if name is None or not self._known(name):
            return None
        import resvg_py

        side = round(DRAWN * self.icons.scale)
        drawn = resvg_py.svg_to_bytes(
            svg_string=self._svg(name), width=side, height=side, skip_system_fonts=True
        )
        pixels = np.asarray(Image.open(io.BytesIO(bytes(drawn))).convert("RGBA"), np.float32) / 255
        pixels[..., :3] *= pixels[..., 3:]
        canvas = np.zeros((DRAWN, DRAWN, 4), np.float32)
        edge = (DRAWN - side) // 2
        canvas[edge : edge + side, edge : edge + side] = pixels
        return canvas

    def _known(self, name: str) -> bool:
        return name in self.drawings["icons"] or name in self.drawings.get("aliases", {})

    def _svg(self, name: str) -> str:
        """The whole SVG document of an icon, on a square."""
        flips: dict[str, Any] = {}
        while name not in self.drawings["icons"]:
            alias = self.drawings["aliases"][name]
            flips |= {key: alias[key] for key in ("hFlip", "vFlip", "rotate") if key in alias}
            name = alias["parent"]
        icon = self.drawings["icons"][name]

        def number(key: str, usual: float) -> float:
            return icon.get(key, self.drawings.get(key, usual))

        width, height, left, top = (
            number(key, usual) for key, usual in
            (("width", 16), ("height", 16), ("left", 0), ("top", 0))
        )  # fmt: skip
        body = icon["body"]
        if flips.get("hFlip"):
            body = f'<g transform="translate({2 * left + width} 0) scale(-1 1)">{body}</g>'
        if flips.get("vFlip"):
            body = f'<g transform="translate(0 {2 * top + height}) scale(1 -1)">{body}</g>'
        if flips.get("rotate"):
            middle = f"{left + width / 2} {top + height / 2}"
            body = f'<g transform="rotate({90 * flips["rotate"]} {middle})">{body}</g>'
        side = max(width, height)
        box = f"{left - (side - width) / 2} {top - (side - height) / 2} {side} {side}"
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'color="#000" viewBox="{box}" width="{side}" height="{side}">{body}</svg>'
        )


def spelled(code: str) -> str:
    """One spelling of a sequence of code points: lower case, no variation selector."""
    parts = (part.lstrip("0") for part in code.lower().split("-"))
    return "-".join(part for part in parts if part != "fe0f")


def averaged(canvas: Floats, side: int) -> Floats:
    """A drawing at `side` pixels, by averaging."""
    count = canvas.shape[0] // side
    return canvas.reshape(side, count, side, count, 4).mean((1, 3))


def over(drawing: Floats, background: tuple[int, int, int]) -> Bytes:
    """A premultiplied drawing on a plain background, as bytes."""
    ground = np.asarray(background, np.float32) / 255
    mixed = drawing[..., :3] + (1 - drawing[..., 3:]) * ground
    return (mixed.clip(0, 1) * 255).round().astype(np.uint8)
