"""What the record of a grid tells of its axes, as A1111's X/Y/Z plot writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SCRIPT = "X/Y/Z plot"


@dataclass(frozen=True, slots=True)
class AxisUsed:
    """One axis of a grid."""

    kind: str
    """"CFG Scale", "Prompt S/R" …"""
    values: str
    """as they were written by the one who asked: "1-10 (+3)" """
    fixed: str = ""
    """the seeds that stood for -1, where some did"""


def axes_fields(axes: Sequence[AxisUsed]) -> dict[str, str]:
    """The fields that a grid's record has more than a picture's; at most three axes."""
    fields = {"Script": SCRIPT}
    for letter, axis in zip("XYZ", axes, strict=False):
        fields |= {f"{letter} Type": axis.kind, f"{letter} Values": axis.values}
        if axis.fixed and axis.fixed != axis.values:
            fields[f"Fixed {letter} Values"] = axis.fixed
    return fields
