"""What the version that a record names says of it: programs changed what their settings mean."""

from __future__ import annotations

import re
from collections.abc import Mapping

Version = tuple[int, int, int, int]
"""major, minor, patch, commits since"""

_A1111 = re.compile(
    r"(?:f\d[\w.-]{0,40}?)?v(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:-(\d{1,6})-g[0-9a-f]+)?"
)
"""A1111's own, or behind the version of Forge; other programs have versions of their own"""

BEFORE_STEPS = (1, 6, 0, 0)
"""`[a:b:when]` counted steps otherwise, and DDIM and PLMS cut the longer prompt"""
BEFORE_ALPHAS = (1, 7, 0, 225)
"""the table of alphas was rounded to half precision"""
BEFORE_SWITCH = (1, 8, 0, 0)
"""the refiner took over by the count of steps, not by the noise that is left"""
BEFORE_SCHEDULES = (1, 9, 0, 0)
"""schedules were part of a sampler's name, and its plain name meant the uniform one"""

PLAIN = (
    "DPM2", "DPM2 a", "DPM++ 2S a", "DPM++ 2M", "DPM++ SDE", "DPM++ 2M SDE", "DPM++ 2M SDE Heun",
    "DPM++ 3M SDE",
)  # fmt: skip
"""samplers whose default is another schedule since then"""


def version_of(text: str) -> Version | None:
    """The A1111 version in "v1.7.0-225-gabc123" or Forge's "f2.0.1v1.10.1-…"; None for others."""
    found = _A1111.match(text)
    if found is None:
        return None
    major, minor, patch, commits = (int(part or 0) for part in found.groups())
    return major, minor, patch, commits


def adapted(fields: Mapping[str, str], prompt: str) -> dict[str, str]:
    """Fields with what went without saying in the version that wrote them.

    Without a version that is known nothing is added; what a record does say stands.
    """
    version = version_of(fields.get("Version", ""))
    added: dict[str, str] = {}
    if version is None:
        return dict(fields)
    sampler = fields.get("Sampler", "")
    if version < BEFORE_STEPS and "[" in prompt:
        added["Old prompt editing timelines"] = "True"
    if version < BEFORE_STEPS and sampler in ("DDIM", "PLMS"):
        added["Pad conds v0"] = "True"
    if version < BEFORE_ALPHAS:
        added["Downcast alphas_cumprod"] = "True"
    if version < BEFORE_SWITCH and "Refiner" in fields:
        added["Refiner switch by sampling steps"] = "True"
    if version < BEFORE_SCHEDULES and sampler in PLAIN and "Schedule type" not in fields:
        added["Schedule type"] = "Uniform"
    return {**added, **fields}
