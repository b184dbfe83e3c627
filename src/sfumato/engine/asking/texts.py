"""The prompts of a request as they are painted: styles merged, comments cut, tags taken out."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from sfumato.containers.text import escape
from sfumato.engine.prompt.comments import cut_comments
from sfumato.engine.prompt.lint import lint
from sfumato.engine.prompt.styles import Styles, apply_styles
from sfumato.engine.prompt.tags import Calls, calls, extract
from sfumato.engine.request import Request


@dataclass(frozen=True, slots=True)
class Texts:
    """The prompts of one pass."""

    shown: str
    """as records have it: with its tags"""
    negative: str
    """tags in it are text like any other, as in A1111"""
    prompt: str
    """without its tags"""
    calls: Calls
    """what its tags ask for"""


def texts(request: Request, styles: Styles) -> Texts:
    """The prompts of the first pass."""
    return _texts(request.prompt, request.negative, request, styles)


def hires_texts(request: Request, styles: Styles) -> Texts:
    """The prompts of the second pass: its own, with the same styles, or the first pass's."""
    hires = request.hires
    prompt = hires.prompt if hires is not None else ""
    negative = hires.negative if hires is not None else ""
    return _texts(prompt or request.prompt, negative or request.negative, request, styles)


def _texts(prompt: str, negative: str, request: Request, styles: Styles) -> Texts:
    chosen = [styles[name] for name in request.styles if name in styles]
    prompt = apply_styles(prompt, [style.prompt for style in chosen])
    negative = apply_styles(negative, [style.negative for style in chosen])
    if request.comments:
        prompt, negative = cut_comments(prompt), cut_comments(negative)
    bare, tags = extract(prompt)
    return Texts(prompt, negative, bare, calls(tags))


def remarks(request: Request, styles: Styles) -> tuple[str, ...]:
    """What is odd in the texts of a request, one sentence each."""
    found: list[str] = []
    for name in request.styles:
        if name not in styles:
            near = get_close_matches(name, styles, 1)
            hint = f"; did you mean {escape(near[0])}?" if near else ""
            found.append(f"there is no style {escape(name)}: it is left out{hint}")
    found += lint(request.prompt, request.negative, comments=request.comments)
    if request.hires is not None and (request.hires.prompt or request.hires.negative):
        found += lint(request.hires.prompt, request.hires.negative, comments=request.comments)
    return tuple(dict.fromkeys(found))
