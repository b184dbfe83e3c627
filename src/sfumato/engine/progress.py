"""How far painting is: what the painter yields between pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image

Stage = Literal["paint", "enlarge"]
"""paint: the first or only pass · enlarge: the second pass, at the larger size"""


@dataclass(frozen=True, slots=True)
class Progress:
    """One step that was made."""

    stage: Stage
    step: int
    """steps of this pass that are made"""
    steps: int
    """steps of this pass, or more where the sampler decides by itself when it is done"""
    done: int
    """steps that are made of the whole request, pictures that are finished included"""
    total: int
    """steps of the whole request"""
    picture: int
    """number of the picture, from 0; the first of them where several are painted at once"""
    pictures: int
    """pictures of the request"""
    rate: float
    """steps per second, of this pass"""
    preview: Callable[[], Image]
    """makes a small picture of what there is by now; costs nothing unless it is called, and only
    shows this step as long as the painter is not asked to go on"""
