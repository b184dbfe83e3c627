"""Tags that attach other networks: `<lora:name:0.8>`, `<hypernet:name:1>`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import isfinite
from typing import TypeVar

from sfumato.containers.text import escape

T = TypeVar("T")

_TAG = re.compile(r"<(\w+):([^>]+)>")

KINDS: Mapping[str, str] = {"lora": "lora", "lyco": "lora", "hypernet": "hypernet"}
"""the word in the tag → what it attaches"""


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag, as it is written."""

    text: str
    """all of it, brackets included"""
    kind: str
    """the word before the first colon"""
    arguments: tuple[str, ...]
    """what has no name, in order; the first is the name of a file"""
    named: Mapping[str, str] = field(default_factory=dict[str, str])
    """what is written `name=value`"""

    @property
    def name(self) -> str:
        """What is attached; empty where the tag does not say."""
        return self.arguments[0].strip() if self.arguments else ""


@dataclass(frozen=True, slots=True)
class LoraCall:
    """A LoRA that a prompt asks for."""

    name: str
    te: float = 1.0
    """strength in the text encoders"""
    unet: float = 1.0
    dyn: int | None = None
    """use the first ranks only"""


@dataclass(frozen=True, slots=True)
class HypernetworkCall:
    """A hypernetwork that a prompt asks for."""

    name: str
    multiplier: float = 1.0


@dataclass(frozen=True, slots=True)
class Calls:
    """All that the tags of a prompt ask for."""

    loras: tuple[LoraCall, ...] = ()
    """in the order of the tags, which matters to some kinds; one named twice counts twice"""
    hypernetworks: tuple[HypernetworkCall, ...] = ()
    notes: tuple[str, ...] = ()
    """why a tag is left out, one sentence each"""


def extract(text: str) -> tuple[str, tuple[Tag, ...]]:
    """`text` without its tags, and the tags: everything written `<word:…>`, whatever the word."""
    end = text.rfind(">") + 1  # what follows holds no tag, and would be searched again and again
    tags = tuple(_tag(found) for found in _TAG.finditer(text, 0, end))
    return _TAG.sub("", text[:end]) + text[end:], tags


def _tag(found: re.Match[str]) -> Tag:
    arguments: list[str] = []
    named: dict[str, str] = {}
    for item in found[2].split(":"):
        name, equals, value = item.partition("=")
        if equals:
            named[name.strip()] = value
        else:
            arguments.append(item)
    return Tag(found[0], found[1], tuple(arguments), named)


def calls(tags: Sequence[Tag]) -> Calls:
    """What `tags` ask for; one of an unknown kind or with an unreadable number is left out."""
    loras: list[LoraCall] = []
    hypernetworks: list[HypernetworkCall] = []
    notes: list[str] = []
    for tag in tags:
        made = _call(tag)
        if isinstance(made, LoraCall):
            loras.append(made)
        elif isinstance(made, HypernetworkCall):
            hypernetworks.append(made)
        else:
            notes.append(made)
    return Calls(tuple(loras), tuple(hypernetworks), tuple(notes))


def _call(tag: Tag) -> LoraCall | HypernetworkCall | str:
    """The call of one tag, or the sentence that says why there is none."""
    shown = escape(tag.text, 80)
    kind = KINDS.get(tag.kind)
    if kind is None:
        near = get_close_matches(tag.kind.lower(), KINDS, 1) or ["lora"]
        return f"{shown} is dropped: {escape(tag.kind, 40)} is no kind of tag; {near[0]} is one."
    if not tag.name:
        return f"{shown} is dropped: it names no file."
    make = _lora if kind == "lora" else _hypernetwork
    try:
        return make(tag)
    except ValueError as error:
        return f"{shown} is dropped: {error} is not a number it can have."


def _lora(tag: Tag) -> LoraCall:
    te = _value(tag, 1, "te", 1.0, _number)
    unet = _value(tag, 2, "unet", te, _number)
    return LoraCall(tag.name, te, unet, _value(tag, 3, "dyn", None, _ranks))


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise ValueError(f'"{escape(text, 40)}"')
    return value


def _ranks(text: str) -> int | None:
    if not text.strip().isdecimal() or not int(text):
        raise ValueError(f'"{escape(text, 40)}"')
    return int(text)


def _hypernetwork(tag: Tag) -> HypernetworkCall:
    return HypernetworkCall(tag.name, _value(tag, 1, "multiplier", 1.0, _number))


def _value(tag: Tag, place: int, name: str, default: T, read: Callable[[str], T]) -> T:
    """The argument called `name`, or the one at `place`, or `default`."""
    if name in tag.named:
        return read(tag.named[name])
    return read(tag.arguments[place]) if len(tag.arguments) > place else default
