"""How one field of a request is changed: functions of (request, value), by the part it lies in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sfumato.engine.request import Request

Put = Callable[[Request, Any], Request]
"""(request, value) → the request with that value; unchanged where it has no such part"""


def own(name: str) -> Put:
    """A field of the request itself."""
    return lambda request, value: replace(request, **{name: value})


def guidance(name: str) -> Put:
    """A field of its guidance."""
    return lambda r, value: replace(r, guidance=replace(r.guidance, **{name: value}))


def variation(name: str) -> Put:
    """A field of its variation."""
    return lambda r, value: replace(r, variation=replace(r.variation, **{name: value}))


def tuning(name: str) -> Put:
    """A field of its tuning."""
    return lambda r, value: replace(r, tuning=replace(r.tuning, **{name: value}))


def hires(name: str) -> Put:
    """A field of its second pass."""
    return lambda r, v: r if r.hires is None else replace(r, hires=replace(r.hires, **{name: v}))


def init(name: str) -> Put:
    """A field of the picture it starts from."""
    return lambda r, v: r if r.init is None else replace(r, init=replace(r.init, **{name: v}))


def inpaint(name: str) -> Put:
    """A field of the mask over that picture."""

    def put(request: Request, value: Any) -> Request:  # noqa: ANN401 - see Put
        if request.init is None or request.init.inpaint is None:
            return request
        masked = replace(request.init.inpaint, **{name: value})
        return replace(request, init=replace(request.init, inpaint=masked))

    return put


def denoise(request: Request, value: float) -> Request:
    """The share of noise of the picture it starts from, or else of its second pass."""
    return init("denoise")(request, value) if request.init else hires("denoise")(request, value)


def size(request: Request, value: tuple[int, int]) -> Request:
    """Width and height at once."""
    return replace(request, width=value[0], height=value[1])


def add_styles(request: Request, value: tuple[str, ...]) -> Request:
    """Further styles, after those that are there."""
    return replace(request, styles=(*request.styles, *value))
