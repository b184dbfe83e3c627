"""What makes LoRA files, called again with the options that stand in a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import cast

from sfumato.containers.text import escape
from sfumato.errors import Refused
from sfumato.operations.lora.extract import Text, extract
from sfumato.operations.lora.merging import merge
from sfumato.operations.lora.resize import resize
from sfumato.operations.lora.translate import translate
from sfumato.operations.plan import Report
from sfumato.operations.recipe import Option

Options = Mapping[str, Option]


def _text(options: Options, key: str) -> str | None:
    value = options.get(key)
    return value if isinstance(value, str) else None


def _whole(options: Options, key: str) -> int | None:
    value = options.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _rule(options: Options, key: str) -> int | str | None:
    return _text(options, key) or _whole(options, key)


def _extract(options: Options, sources: list[Path], target: Path) -> Callable[..., Report]:
    tuned, base = _paths(sources, 2)
    return partial(
        extract,
        tuned,
        base,
        target,
        rank=_rule(options, "rank") or 64,
        conv_rank=_rule(options, "conv_rank"),
        max_rank=_whole(options, "max_rank"),
        scope=_text(options, "scope") or "attention",
        text=cast("Text", _text(options, "text") or "auto"),  # `extract` refuses other words
        exact=options.get("exact") is True,
        seed=_whole(options, "seed") or 0,
        spelling=_text(options, "spelling") or "kohya",
        dtype=_text(options, "dtype") or "f16",
        container=_text(options, "container"),
    )


def _resize(options: Options, sources: list[Path], target: Path) -> Callable[..., Report]:
    return partial(
        resize,
        sources[0],
        target,
        rank=_rule(options, "rank") or "",
        conv_rank=_rule(options, "conv_rank"),
        max_rank=_whole(options, "max_rank"),
        spelling=_text(options, "spelling"),
        model=_model(sources, 1),
        exact=options.get("exact") is True,
        seed=_whole(options, "seed") or 0,
        dtype=_text(options, "dtype"),
        container=_text(options, "container"),
    )


def _translate(options: Options, sources: list[Path], target: Path) -> Callable[..., Report]:
    return partial(
        translate,
        sources[0],
        target,
        spelling=_text(options, "spelling") or "kohya",
        rank=_rule(options, "rank"),
        max_rank=_whole(options, "max_rank"),
        model=_model(sources, 1),
        exact=options.get("exact") is True,
        seed=_whole(options, "seed") or 0,
        dtype=_text(options, "dtype"),
        container=_text(options, "container"),
    )


def _merge(options: Options, sources: list[Path], target: Path) -> Callable[..., Report]:
    told = options.get("weights")
    weights = [] if told is None or isinstance(told, str | int | float) else list(told)
    paths = _paths(sources, len(weights))
    return partial(
        merge,
        [(path, *_pair(text)) for path, text in zip(paths, weights, strict=True)],
        target,
        rank=_rule(options, "rank"),
        conv_rank=_rule(options, "conv_rank"),
        max_rank=_whole(options, "max_rank"),
        concat=options.get("concat") is True,
        spelling=_text(options, "spelling"),
        model=_model(sources, len(weights)),
        exact=options.get("exact") is True,
        seed=_whole(options, "seed") or 0,
        dtype=_text(options, "dtype"),
        container=_text(options, "container"),
    )


def _pair(text: str) -> tuple[float, float]:
    """Weight in the UNet and in text encoders, as `merge` writes them: 0.8:0.5."""
    unet, _, apart = text.partition(":")
    try:
        return float(unet), float(apart)
    except ValueError as error:
        raise Refused(f"{escape(text, 40)}: are no weights of a LoRA in a recipe") from error


def _paths(sources: list[Path], count: int) -> list[Path]:
    if len(sources) < count:
        raise Refused(f"the recipe names {len(sources)} inputs, and {count} are needed")
    return sources[:count]


def _model(sources: list[Path], after: int) -> Path | None:
    """The model that the layers were looked up in, which comes after the LoRAs."""
    return sources[after] if len(sources) > after else None


AGAIN: Mapping[str, Callable[[Options, list[Path], Path], Callable[..., Report]]] = {
    "lora_extract": _extract,
    "lora_resize": _resize,
    "lora_merge": _merge,
    "lora_translate": _translate,
}
"""operation as recipes call it → what carries it out once more"""
