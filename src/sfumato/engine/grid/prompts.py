"""Changes of a prompt that an axis makes: words replaced, put in another order, files added."""

from __future__ import annotations

import re
from dataclasses import replace

from sfumato.engine.request import Request

NONE = "None"
"""the value of an axis of files that adds nothing"""

_LORA = re.compile(r"<(?P<kind>lora|lyco):(?P<name>[^:>]+)(?P<rest>[^>]*)>", re.IGNORECASE)
_HYPERNETWORK = re.compile(r"<(?P<kind>hypernet):(?P<name>[^:>]+)(?P<rest>[^>]*)>", re.IGNORECASE)


def search_and_replace(request: Request, value: tuple[str, ...]) -> Request:
    """`value` is (what is looked for, what stands in its place): in prompt and negative prompt."""
    old, new = value
    prompt, negative = request.prompt.replace(old, new), request.negative.replace(old, new)
    return replace(request, prompt=prompt, negative=negative)


def order(request: Request, value: tuple[str, ...]) -> Request:
    """Put the words of `value` into the places where they stand, in the order of `value`."""
    places = sorted((request.prompt.find(word), word) for word in value)
    pieces, end = list[str](), 0
    for (place, word), put in zip(places, value, strict=True):
        pieces += [request.prompt[end:place], put]
        end = place + len(word)
    return replace(request, prompt="".join((*pieces, request.prompt[end:])))


def add_lora(request: Request, value: str) -> Request:
    """Append `<lora:NAME:WEIGHT>` to the prompt."""
    return _add(request, "" if value == NONE else f"<lora:{_weighed(value)}>")


def add_hypernetwork(request: Request, value: str) -> Request:
    """Append `<hypernet:NAME:MULTIPLIER>` to the prompt."""
    return _add(request, "" if value == NONE else f"<hypernet:{_weighed(value)}>")


def add_embedding(request: Request, value: str) -> Request:
    """Append the name, with its weight in brackets where it has one."""
    name, _, weight = value.partition(":")
    if value == NONE:
        return request
    joint = ", " if request.prompt.strip() else ""
    return replace(request, prompt=request.prompt + joint + (f"({value})" if weight else name))


def weigh_loras(request: Request, value: float) -> Request:
    """Give every LoRA of the prompt this weight; named arguments (`dyn=`) stay."""
    return replace(request, prompt=_LORA.sub(lambda m: _reweighed(m, value), request.prompt))


def weigh_hypernetworks(request: Request, value: float) -> Request:
    """Give every hypernetwork of the prompt this multiplier."""
    prompt = _HYPERNETWORK.sub(lambda m: _reweighed(m, value), request.prompt)
    return replace(request, prompt=prompt)


def no_lora(request: Request) -> str:
    """Why a weight would change nothing."""
    return "" if _LORA.search(request.prompt) else "the prompt has no <lora:NAME:WEIGHT>"


def no_hypernetwork(request: Request) -> str:
    """Why a multiplier would change nothing."""
    found = _HYPERNETWORK.search(request.prompt)
    return "" if found else "the prompt has no <hypernet:NAME:MULTIPLIER>"


def _add(request: Request, tag: str) -> Request:
    joint = " " if tag and request.prompt else ""
    return replace(request, prompt=f"{request.prompt}{joint}{tag}")


def _weighed(value: str) -> str:
    return value if ":" in value else f"{value}:1"


def _reweighed(match: re.Match[str], weight: float) -> str:
    named = [part for part in match["rest"].split(":") if part.startswith("dyn=")]
    return f"<{':'.join((match['kind'], match['name'], f'{weight:g}', *named))}>"
