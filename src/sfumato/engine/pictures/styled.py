"""Styles found again in the prompts of a picture, which hold them merged in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sfumato.engine.pictures.infotext import Record
from sfumato.engine.prompt.styles import Style, Styles, recognise, taken_out
from sfumato.engine.request import Hires, Request


def recognised(record: Record, styles: Styles) -> tuple[Record, tuple[str, ...]]:
    """A record without the styles in its prompts, and their names in the order of merging.

    They are left in where merging them again would not give the very same prompts.
    """
    names = recognise(record.prompt, record.negative, styles.values())[2]
    chosen = [styles[name] for name in names]
    prompt = taken_out(record.prompt, [style.prompt for style in chosen])
    negative = taken_out(record.negative, [style.negative for style in chosen])
    if not names or prompt is None or negative is None:
        return record, ()
    return replace(record, prompt=prompt, negative=negative), names


def with_styles(request: Request, styles: Styles) -> Request:
    """A request that names the styles which its prompts hold; it paints what it did before."""
    record, names = recognised(Record(request.prompt, request.negative), styles)
    hires = _second(request.hires, [styles[name] for name in names])
    if not names or (hires is None and request.hires is not None):
        return request
    prompts = {"prompt": record.prompt, "negative": record.negative}
    return replace(request, **prompts, hires=hires, styles=(*names, *request.styles))


def _second(hires: Hires | None, chosen: Sequence[Style]) -> Hires | None:
    """The second pass without the same styles; None where its prompts do not hold them."""
    if hires is None:
        return None
    prompt = taken_out(hires.prompt, [s.prompt for s in chosen]) if hires.prompt else ""
    negative = taken_out(hires.negative, [s.negative for s in chosen]) if hires.negative else ""
    # An empty prompt of its own would mean that of the first pass.
    if bool(prompt) != bool(hires.prompt) or bool(negative) != bool(hires.negative):
        return None
    return replace(hires, prompt=prompt or "", negative=negative or "")
