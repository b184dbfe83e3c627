"""A request from options by name, in the forms that come naturally to someone at a keyboard."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from numbers import Real
from typing import cast

from sfumato.containers.text import escape
from sfumato.engine.asking.typed import typed
from sfumato.engine.pictures.opening import open_image
from sfumato.engine.request import Guidance, Hires, Init, Request
from sfumato.errors import UsageError


def request_of(prompt: str, cfg: float | None, options: Mapping[str, object]) -> Request:
    """A request from options by name: any fields of `Request`, and `cfg`, the guidance scale.

    In place of the parts there may stand: for `init` a picture or its path, for `hires` True or a
    scale, for `guidance` the scale, for `styles` one name, for `seed` None or "" (draw one), for
    names of files a path.

    Raises UsageError for a name that is none and for a value that is none, and what `open_image`
    raises for a picture.
    """
    known = {entry.name for entry in fields(Request)}
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"there is no option {escape(name)}{hint}")
    meant = {name: NATURAL.get(name, _as_it_is)(value) for name, value in options.items()}
    request = typed(replace(Request(prompt), **meant))  # pyright: ignore[reportArgumentType]
    if cfg is not None:
        request = typed(replace(request, guidance=replace(request.guidance, scale=cfg)))
    return request


def _as_it_is(value: object) -> object:
    return value


def _is_number(value: object) -> bool:
    return type(value) is not bool and isinstance(value, Real)


def _seed(value: object) -> object:
    return -1 if value is None or value == "" else value


def _styles(value: object) -> object:
    if isinstance(value, str):
        return (value,) if value else ()
    return () if value is None else value


def _guidance(value: object) -> object:
    return Guidance(cast("float", value)) if _is_number(value) else value


def _hires(value: object) -> object:
    if isinstance(value, bool):
        return Hires() if value else None
    return Hires(cast("float", value)) if _is_number(value) else value


def _init(value: object) -> object:
    from PIL.Image import Image

    if isinstance(value, (str, os.PathLike)):
        return Init(open_image(os.fspath(cast("str", value))))
    return Init(value) if isinstance(value, Image) else value


def _file(value: object) -> object:
    return os.fspath(cast("str", value)) if isinstance(value, os.PathLike) else value


NATURAL: Mapping[str, Callable[[object], object]] = {
    "seed": _seed,
    "styles": _styles,
    "guidance": _guidance,
    "hires": _hires,
    "init": _init,
    "model": _file,
    "vae": _file,
    "refiner": _file,
}
"""option → what the short forms of its value mean"""
