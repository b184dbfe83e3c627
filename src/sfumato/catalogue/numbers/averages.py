"""The distance between a model's averaged (EMA) weights and its trained (live) ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite, sqrt

import numpy as np

from sfumato.catalogue.numbers.streams import floats, side_by_side
from sfumato.containers.tensor import Tensor, Tensors

LIVE, AVERAGED = "model.", "model_ema."
TEXTS = ("cond_stage_model.", "conditioner.")
"""where text encoders stand, whose averages this program's trainer keeps in the same way"""


@dataclass(frozen=True, slots=True)
class Averages:
    """How far the averaged weights are from the trained ones."""

    pairs: int
    """tensors that were compared"""
    distance: float
    """L2 norm of the difference over the L2 norm of the trained weights"""
    furthest: str
    """name of the trained tensor that is relatively furthest from its average"""
    furthest_distance: float
    left_out: tuple[str, ...] = ()
    """trained tensors that could not be compared: another shape, no floats, or not finite"""
    alone: int = 0
    """averaged tensors that have no trained twin here"""
    blocks: Mapping[str, float] = field(default_factory=dict[str, float])
    """block of the network, such as input_blocks.4 → distance within it"""


def averaged_name(live: str) -> str:
    """The name of a trained tensor's average: LitEma deletes every dot (ldm/modules/ema.py)."""
    return AVERAGED + live.removeprefix(LIVE).replace(".", "")


def twins(model: Tensors) -> dict[str, str]:
    """Trained name → averaged name, for every pair in `model`."""
    pairs = {name: averaged_name(name) for name in model if name.startswith((LIVE, *TEXTS))}
    return {live: averaged for live, averaged in pairs.items() if averaged in model}


def compare_averages(
    model: Tensors, *, tell: Callable[[int], None] | None = None
) -> Averages | None:
    """Read both sets side by side, in pieces; None for a model without averages.

    `tell` is called with the bytes that were read since the last call.
    """
    pairs = twins(model)
    if not pairs:
        return None
    difference = norm = furthest_distance = 0.0
    furthest, left_out = "", list[str]()
    blocks: dict[str, tuple[float, float]] = {}
    for live, averaged in pairs.items():
        a, b = model[live], model[averaged]
        squares = _squares(a, b)
        if tell is not None:
            tell(a.nbytes + b.nbytes)
        if squares is None:
            left_out.append(live)
            continue
        difference, norm = difference + squares[0], norm + squares[1]
        apart, size = blocks.get(block(live), (0.0, 0.0))
        blocks[block(live)] = apart + squares[0], size + squares[1]
        distance = _ratio(*squares)
        if distance > furthest_distance:
            furthest, furthest_distance = live, distance
    scalars = ("model_ema.decay", "model_ema.num_updates")
    held = sum(name.startswith(AVERAGED) for name in model) - sum(name in model for name in scalars)
    return Averages(
        pairs=len(pairs) - len(left_out),
        distance=_ratio(difference, norm),
        furthest=furthest,
        furthest_distance=furthest_distance,
        left_out=tuple(left_out),
        alone=held - len(pairs),
        blocks={name: _ratio(*sums) for name, sums in blocks.items()},
    )


def block(live: str) -> str:
    """The block that a trained tensor belongs to: input_blocks.4, middle_block, time_embed …"""
    parts = live.removeprefix(LIVE).split(".")[1:]
    return ".".join(parts[:2]) if parts[1:2] and parts[1].isdigit() and len(parts) > 3 else parts[0]


def _ratio(difference: float, norm: float) -> float:
    return sqrt(difference / norm) if norm else float(difference > 0)


def _squares(live: Tensor, averaged: Tensor) -> tuple[float, float] | None:
    """Sum of squares of the difference and of `live`; None where they cannot be compared."""
    if live.shape != averaged.shape or {live.dtype.kind, averaged.dtype.kind} != {"float"}:
        return None
    if min(live.dtype.bits, averaged.dtype.bits) < 8:
        return None
    difference = norm = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for a, b in side_by_side(floats(live), floats(averaged)):
            apart = a - b
            difference += float(np.dot(apart, apart))
            norm += float(np.dot(a, a))
    return (difference, norm) if isfinite(difference) and isfinite(norm) else None
