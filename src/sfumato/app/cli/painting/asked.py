"""From the options that were given to what is to be painted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from sfumato.app.cli.painting.files import named
from sfumato.app.cli.painting.setting import Setting
from sfumato.app.cli.painting.settings import REQUEST
from sfumato.app.cli.painting.wish import Asked
from sfumato.containers.text import escape
from sfumato.engine.request import Hires, Init, Inpaint, Request
from sfumato.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

Given = Mapping[str, Any]
"""values by the names of `Setting`; None or () for options that were not given"""


def asked(given: Given, prompt: str | None) -> Asked:
    """The request of these options, over that of the picture named by --from.

    Raises click.UsageError where options need what is not there, and what reading pictures raises.
    """
    image, mask = _picture(given, "init"), _picture(given, "mask")
    start = _start(given, image, mask)
    request = start.request if prompt is None else replace(start.request, prompt=prompt)
    for setting in _given(REQUEST, given):
        request = _with_part(request, setting)
        if setting.put is not None:
            request = setting.put(request, given[setting.name])
    return replace(start, request=replace(request, prompt=_with_tags(request.prompt, given)))


def _given(settings: Iterable[Setting], given: Given) -> list[Setting]:
    return [s for s in settings if given.get(s.name) is not None and given[s.name] != ()]


def _start(given: Given, image: Image | None, mask: Image | None) -> Asked:
    """What the options change: nothing yet, or what a picture says of itself."""
    if mask is not None and image is None:
        raise click.UsageError("--mask needs the picture that it lies over: --init PICTURE")
    source = given.get("from")
    if source is None:
        init = Init(image, inpaint=Inpaint(mask) if mask else None) if image else None
        return Asked(Request(init=init))
    from sfumato.engine.pictures.readers.registry import read_picture_record
    from sfumato.engine.pictures.requests import to_request

    found = read_picture_record(source)
    if found is None:
        raise UsageError(f"{escape(source)}: does not say how it was made")
    request, notes = to_request(found.record, image=image, mask=mask)
    request, styled = _with_styles(request, given)
    # Our own pictures keep what was said when they were painted; it will be said again.
    differences = () if found.program == "Sfumato" else found.notes
    return Asked(request, (*differences, *notes, *styled), found)


def _with_styles(request: Request, given: Given) -> tuple[Request, tuple[str, ...]]:
    """The request with the styles of --styles that its prompts hold taken out and named."""
    from sfumato.engine.pictures.styled import with_styles
    from sfumato.engine.prompt.styles import read_styles

    found = with_styles(request, read_styles(given.get("styles") or ()))
    if not found.styles:
        return request, ()
    return found, (f"its prompts hold the styles {escape(', '.join(found.styles), 400)}",)


def _picture(given: Given, name: str) -> Image | None:
    if given.get(name) is None:
        return None
    if not given[name]:
        raise click.UsageError(f"--{name} '': name a picture")
    from sfumato.engine.pictures.opening import open_image

    return open_image(given[name])


def _with_part(request: Request, setting: Setting) -> Request:
    """Make the part that an option is of, or say that it is not there."""
    flag = setting.flags.split("/")[0].split()[-1]
    if setting.needs == "hires" and request.hires is None:
        return replace(request, hires=Hires())
    if setting.needs == "init" and request.init is None:
        raise click.UsageError(f"{flag} needs a picture to start from: --init PICTURE")
    if setting.needs == "init or hires" and request.init is None and request.hires is None:
        raise click.UsageError(f"{flag} needs a picture to start from (--init) or --hires")
    if setting.needs == "mask" and (request.init is None or request.init.inpaint is None):
        raise click.UsageError(f"{flag} needs a mask: --mask PICTURE")
    return request


def _with_tags(prompt: str, given: Given) -> str:
    """The prompt with a tag for every --lora and --hypernetwork."""
    tags = [f"<lora:{_weighed(named(text))}>" for text in given.get("lora") or ()]
    tags += [f"<hypernet:{_weighed(named(text))}>" for text in given.get("hypernetwork") or ()]
    return " ".join(part for part in (prompt, *tags) if part)


def _weighed(text: str) -> str:
    """NAME:WEIGHT with the weight said; a name with brackets cannot stand in a tag."""
    if set(text) & set("<>\n"):
        raise click.UsageError(f"'{text}' cannot be named in a prompt: it holds <, > or a line end")
    return text if ":" in text else f"{text}:1"
