"""Why a pass came to nothing: what was out of the ordinary in it, as far as can be told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from sfumato.containers.text import escape

if TYPE_CHECKING:
    from sfumato.engine.painting.conditions import Conditions
    from sfumato.engine.painting.side import Side
    from sfumato.engine.request import Request

FARTHEST = 1e9
"""latents of pictures are below 10; VAEs give NaN somewhere above this"""

MOST_CFG = 30.0
MOST_NOISE = 2.0
"""beyond these pictures are seldom more than noise"""

MOST_STATE = 1e3
"""text encoders give numbers below 50"""


def why_nan(side: Side, conditions: Conditions, request: Request) -> str:
    """A sentence on a UNet that gave NaN, with what is most likely to blame."""
    model = side.model
    name = escape(str(model.path))
    causes = list(_causes(side, conditions, request))
    if causes:
        return f"{name}: the UNet gave NaN or infinite numbers with {_listed(causes)}"
    if model.placement.dtype == torch.float16:
        return f"{name}: the UNet gave NaN in fp16; paint in bf16 or fp32 (dtype)"
    zero = "; a model with zero terminal SNR must predict v" if model.zero_snr else ""
    return (
        f"{name}: the UNet gave NaN or infinite numbers; damaged weights or a wrong prediction "
        f"type do that ({model.prediction} was used){zero}"
    )


def why_far(side: Side, conditions: Conditions, request: Request, reached: float) -> str:
    """A sentence on latents that are far beyond those of any picture."""
    name = escape(str(side.model.path))
    causes = list(_causes(side, conditions, request))
    blamed = _listed(causes) if causes else f"the prediction type {side.model.prediction}"
    return f"{name}: the latents went out of range, to {reached:.0e}, with {blamed}"


def _causes(side: Side, conditions: Conditions, request: Request) -> Iterator[str]:
    """What is out of the ordinary, the surest first."""
    reached = _reached(conditions)
    if not reached <= MOST_STATE:
        yield f"an encoded prompt that reaches {reached:.0e}"
    guidance, noise = request.guidance, request.tuning.noise
    if abs(guidance.scale) > MOST_CFG:
        yield f"a CFG scale of {guidance.scale:g}"
    if side.model.variant == "ip2p" and abs(guidance.image_scale) > MOST_CFG:
        yield f"an image CFG scale of {guidance.image_scale:g}"
    if noise > MOST_NOISE:
        yield f"noise times {noise:g}"
    if (request.tuning.eta or 0) > MOST_NOISE:
        yield f"eta {request.tuning.eta:g}"
    if request.init is not None and abs(request.init.noise) > MOST_NOISE:
        yield f"first noise times {request.init.noise:g}"
    yield from side.at_work()


def _reached(conditions: Conditions) -> float:
    """The largest number that the UNet is told."""
    timed = [conditions.negative, *(part for _, part in conditions.positive)]
    each = [encoding.context.abs().max() for part in timed for _, encoding in part]
    return float(torch.stack(each).max()) if each else 0.0


def _listed(causes: list[str]) -> str:
    return causes[0] if len(causes) == 1 else f"{', '.join(causes[:-1])} and {causes[-1]}"
