"""Styles: prompts kept under a name, in A1111's `styles.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from sfumato.containers.sizes import human
from sfumato.containers.source import Source
from sfumato.errors import Damaged, Unreadable

PLACE = "{prompt}"
"""where the prompt goes; a style without it is appended"""

MOST = 64_000_000
"""bytes of the largest file of styles that is read"""


@dataclass(frozen=True, slots=True)
class Style:
    """A prompt and a negative prompt under a name."""

    name: str
    prompt: str = ""
    negative: str = ""


Styles = Mapping[str, Style]


def read_styles(paths: Iterable[str | PathLike[str]]) -> dict[str, Style]:
    """Styles by name, from files of comma-separated values; a later one of a name replaces it.

    paths: files, or names with `*` and `?` in them; what these match is read in order of name.
    Columns are `name`, `prompt` and `negative_prompt` (`text` in the oldest files); names that
    begin with `#` are passed over. Raises Unreadable and Damaged.
    """
    found: dict[str, Style] = {}
    for path in paths:
        path = Path(path)
        pattern = any(sign in path.name for sign in "*?")
        for file in sorted(path.parent.glob(path.name)) if pattern else [path]:
            found |= {style.name: style for style in _read(file)}
    return found


def _read(path: Path) -> list[Style]:
    with Source(path) as source:
        if source.size > MOST:
            raise Unreadable(path, f"has {human(source.size)}, too many for styles")
        data = source.read(0, source.size)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Damaged(path, f"is no UTF-8 text at byte {error.start}") from error
    rows = csv.DictReader(io.StringIO(text, newline=""), restval="")
    try:
        if rows.fieldnames is not None and "name" not in rows.fieldnames:
            raise Damaged(path, "has no column called name in its first line")
        return [_style(row) for row in rows if row["name"] and not row["name"].startswith("#")]
    except csv.Error as error:
        raise Damaged(path, f"is no table of comma-separated values: {error}") from error


def _style(row: Mapping[str, str]) -> Style:
    prompt = row["prompt"] if "prompt" in row else row.get("text", "")
    return Style(row["name"], prompt, row.get("negative_prompt", ""))


def apply_styles(text: str, styles: Sequence[str]) -> str:
    """`text` with the texts of styles (all their prompts, or all their negative ones) merged in."""
    for style in styles:
        text = _merged(style, text)
    return text


def _merged(style: str, text: str) -> str:
    if PLACE in style:
        return style.replace(PLACE, text)
    return ", ".join(part for part in (text.strip(), style.strip()) if part)


def recognise(
    prompt: str, negative: str, styles: Iterable[Style]
) -> tuple[str, str, tuple[str, ...]]:
    """Prompt and negative prompt with the styles taken out again, and the names of these in order.

    A style counts where both its texts are found; each is taken out at most once.
    """
    left = [style for style in styles if _says(style.prompt) or _says(style.negative)]
    taken: list[str] = []
    while True:
        for style in left:
            first, second = _without(style.prompt, prompt), _without(style.negative, negative)
            if first is not None and second is not None:
                prompt, negative = first, second
                taken.append(style.name)
                left.remove(style)
                break
        else:
            return prompt, negative, tuple(reversed(taken))


def taken_out(text: str, styles: Sequence[str]) -> str | None:
    """`text` as it was before `apply_styles`; None where that does not give it again."""
    before: str | None = text
    for style in reversed(styles):
        before = None if before is None else _without(style, before)
    return before if before is not None and apply_styles(before, styles) == text else None


def _says(style: str) -> bool:
    """Whether a style's text adds anything."""
    return bool(style.replace(PLACE, "").strip())


def _without(style: str, text: str) -> str | None:
    """`text` as it was before `style` was merged in; None where it was not."""
    style, whole = style.strip(), text.strip()
    if PLACE in style:
        left, _, right = style.partition(PLACE)
        fits = whole.startswith(left) and whole.endswith(right)
        if not fits or len(whole) < len(left) + len(right):
            return None
        return whole[len(left) : len(whole) - len(right)]
    if not whole.endswith(style):
        return None
    return whole[: len(whole) - len(style)].removesuffix(", ") if style else text
