"""Pictures of the folder that are held out of training, so that the loss is measured on them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from sfumato.containers.text import escape
from sfumato.errors import UsageError
from sfumato.training.data.items import Found, Item
from sfumato.training.randomness import number


def held_out(found: Found, wanted: float, seed: int) -> tuple[Found, tuple[Item, ...]]:
    """What is left to learn from, and the pictures that are not.

    wanted: below 1 a share of the pictures, of which at least one is taken, else how many; 0 takes
    none. Each picture has a place in the choice by the seed and its own bytes, so that others that
    come or go change little, and copies of one picture stay together.
    Raises UsageError where nothing would be left.
    """
    if not wanted:
        return found, ()
    count = max(round(wanted * len(found.items)), 1) if wanted < 1 else int(wanted)
    copies = Counter(item.digest for item in found.items)
    chosen, held = set[str](), 0
    for digest in sorted(copies, key=lambda each: number(seed, "hold-out", int(each, 16))):
        if held >= count:
            break
        chosen.add(digest)
        held += copies[digest]
    if len(chosen) == len(copies):
        raise UsageError(
            f"data.hold_out {wanted:g} leaves none of {len(found.items)} pictures to learn from"
        )
    apart = tuple(item for item in found.items if item.digest in chosen)
    kept = tuple(item for item in found.items if item.digest not in chosen)
    return replace(found, items=kept, notes=(*found.notes, _told(apart, found))), apart


def _told(apart: tuple[Item, ...], found: Found) -> str:
    named = ", ".join(escape(item.name, 60) for item in apart[:3])
    return (
        f"{len(apart)} of {len(found.items)} pictures are held out of training, to measure the "
        f"loss on: {named}{' …' if len(apart) > 3 else ''}"
    )
