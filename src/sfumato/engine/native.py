"""The size of the pictures that a model was made for."""

from __future__ import annotations

from collections.abc import Mapping

SIDES: Mapping[tuple[str, str], int] = {
    ("sd1", "epsilon"): 512,
    ("sd1", "v"): 512,
    ("sd2", "epsilon"): 512,
    ("sd2", "v"): 768,
    ("sdxl", "epsilon"): 1024,
    ("sdxl", "v"): 1024,
    ("sdxl-refiner", "epsilon"): 1024,
    ("sdxl-refiner", "v"): 1024,
}
"""family and prediction → side of the square pictures that the published model learned from"""


def native_side(family: str, prediction: str, metadata: Mapping[str, str]) -> int:
    """Side in pixels of the square pictures that a model was made for.

    What its file says (`modelspec.resolution`, ModelSpec 1.0.1) goes before what its family is
    made for.
    """
    said = metadata.get("modelspec.resolution", "").lower().partition("x")[0]
    if said.isdecimal() and 64 <= int(said) <= 4096:
        return int(said)
    return SIDES[family, prediction]
