"""Bytes as a person reads them."""

from __future__ import annotations

UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
"""1 GB is 10^9 bytes, as on model sites"""


def human(nbytes: int) -> str:
    """Bytes in three digits or so: 2.13 GB, 335 MB, 512 bytes."""
    for unit, name in UNITS:
        if nbytes >= unit:
            value = nbytes / unit
            return f"{value:.0f} {name}" if value >= 100 else f"{value:.3g} {name}"
    return f"{nbytes} bytes"


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 tensor, 2 tensors."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
