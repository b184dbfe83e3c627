"""Baking, unbaking and what is done with VAEs, called again with the options of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from sfumato.errors import Refused
from sfumato.operations.bake import Weighted, bake, unbake, vae_replace
from sfumato.operations.plan import Report
from sfumato.operations.recipe import Option
from sfumato.operations.vae import vae_extract

Options = Mapping[str, Option]


def _text(options: Options, key: str) -> str | None:
    value = options.get(key)
    return value if isinstance(value, str) else None


def _form(options: Options) -> dict[str, str | None]:
    return {key: _text(options, key) for key in ("dtype", "container")}


def _numbers(options: Options, key: str) -> list[float]:
    value = options.get(key)
    texts = [] if value is None or isinstance(value, str | int | float) else list(value)
    try:
        return [float(text) for text in texts]
    except ValueError as error:
        raise Refused(f"the recipe's {key} are no numbers") from error


def _loras(options: Options, paths: list[Path]) -> list[Weighted]:
    """The LoRAs, which follow the model, with the strengths that they had."""
    weights, te = _numbers(options, "weights"), _numbers(options, "te_weights")
    if not len(weights) == len(te) == len(paths):
        raise Refused(f"the recipe has {len(weights)} and {len(te)} weights for {len(paths)} LoRAs")
    return list(zip(paths, weights, te, strict=True))


def _bake(options: Options, sources: list[Path], target: Path) -> Callable[..., Report]:
    vae = _text(options, "vae") is not None
    paths = sources[1 : len(sources) - vae]
    return partial(
        bake,
        sources[0],
        target,
        loras=_loras(options, paths),
        vae=sources[-1] if vae else None,
        **_form(options),
    )


def _unbake(options: Options, sources: list[Path], target: Path) -> Callable[..., Report]:
    return partial(unbake, sources[0], target, loras=_loras(options, sources[1:]), **_form(options))


def _vae_replace(options: Options, sources: list[Path], target: Path) -> Callable[..., Report]:
    return partial(vae_replace, sources[0], target, vae=sources[-1], **_form(options))


def _vae_extract(options: Options, sources: list[Path], target: Path) -> Callable[..., Report]:
    spelling = _text(options, "spelling") or "ldm"
    return partial(vae_extract, sources[0], target, spelling=spelling, **_form(options))


AGAIN: Mapping[str, Callable[[Options, list[Path], Path], Callable[..., Report]]] = {
    "bake": _bake,
    "unbake": _unbake,
    "vae_replace": _vae_replace,
    "vae_extract": _vae_extract,
}
"""operation as recipes call it → what carries it out again"""
