"""The lists of names that axes of a grid take their values from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, get_args

from sfumato.containers.text import escape
from sfumato.engine.grid.axes import Lookup, Lookups
from sfumato.engine.request import Emphasis, Rng
from sfumato.errors import UsageError

if TYPE_CHECKING:
    from sfumato.library.find import Shelf
    from sfumato.library.folders import Kind

UNNAMED = ("auto", "automatic", "none")
"""what may be said in place of a VAE's name"""


def lookups(shelf: Shelf, styles: Mapping[str, object]) -> Lookups:
    """By the word in `Parameter.lookup`. Nothing is looked up before it is asked for."""
    return {
        "sampler": Lookup(_sampler, _samplers),
        "schedule": Lookup(_schedule, _schedules),
        "upscaler": Lookup(_upscaler, _upscalers),
        "rng": _words(get_args(Rng)),
        "emphasis": _words(get_args(Emphasis)),
        "styles": _words(tuple(styles), empty="no styles are known without --styles FILE"),
        "checkpoint": _checkpoints(shelf),
        "refiner": _files(shelf, "checkpoint"),
        "vae": _files(shelf, "vae", also=UNNAMED),
        "lora": _files(shelf, "lora", paths=False),
        "hypernetwork": _files(shelf, "hypernetwork", paths=False),
        "embedding": _files(shelf, "embedding", paths=False),
    }


def _files(shelf: Shelf, kind: Kind, *, also: Sequence[str] = (), paths: bool = True) -> Lookup:
    """`paths`: False for names that go into the prompt."""

    def find(name: str) -> str:
        if name.lower() not in also:
            shelf.resolve(kind, name, paths=paths)
        return name

    return Lookup(find, lambda: tuple(dict.fromkeys(e.name for e in shelf.all(kind))))


def _checkpoints(shelf: Shelf) -> Lookup:
    """Names, and merges of what they name: a slide from one model to another."""
    from sfumato.engine.loading.mixed import is_mix, mix_of

    files = _files(shelf, "checkpoint")

    def find(name: str) -> str:
        if not is_mix(name, shelf):
            return files.find(name)
        mix_of(name, shelf)
        return name

    return Lookup(find, files.every)


def _words(known: tuple[str, ...], *, empty: str = "") -> Lookup:
    """`empty`: what is said where there are none."""

    def find(name: str) -> str:
        folded = {one.casefold(): one for one in known}
        if name.casefold() not in folded:
            near = get_close_matches(name.casefold(), folded, 1)
            there = f"there are {', '.join(map(escape, known))}" if known else empty
            hint = f"did you mean {escape(folded[near[0]])}?" if near else there
            raise UsageError(f"{escape(name)}: is not there; {hint}")
        return folded[name.casefold()]

    return Lookup(find, lambda: known)


def _sampler(name: str) -> str:
    from sfumato.engine.sampling.registry import find_sampler

    sampler, schedule = find_sampler(name)
    return f"{sampler.name} {schedule.name}" if schedule else sampler.name


def _samplers() -> tuple[str, ...]:
    from sfumato.engine.sampling.registry import SAMPLERS

    return tuple(sampler.name for sampler in SAMPLERS)


def _schedule(name: str) -> str:
    from sfumato.engine.sampling.registry import find_schedule
    from sfumato.engine.sampling.schedules import AUTOMATIC

    found = find_schedule(name)
    return found.name if found else AUTOMATIC


def _schedules() -> tuple[str, ...]:
    from sfumato.engine.sampling.schedules import SCHEDULES

    return tuple(schedule.name for schedule in SCHEDULES)


def _upscaler(name: str) -> str:
    from sfumato.engine.pictures.upscale import find_upscaler

    return find_upscaler(name).name


def _upscalers() -> tuple[str, ...]:
    from sfumato.engine.pictures.upscale import UPSCALERS

    return tuple(upscaler.name for upscaler in UPSCALERS)
