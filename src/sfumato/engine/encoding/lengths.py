"""Encodings of different length, brought together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sfumato.engine.encoding.encoded import Encoding
from sfumato.engine.request import Padding


def lengthened(parts: Sequence[Encoding]) -> list[Encoding]:
    """`parts` of a prompt with AND, the shorter ones with their last vector repeated."""
    length = max((part.context.shape[1] for part in parts), default=0)
    return _each(parts, lambda context: _repeated(context, length))


def match_lengths(
    positive: Sequence[Encoding], negative: Sequence[Encoding], *, pad: Padding, empty: Encoding
) -> tuple[list[Encoding], list[Encoding]]:
    """A prompt and a negative prompt, brought to one length in the way of `pad`.

    none: left as they are, each side of its own length. empty: the shorter one is filled up with
    the encoding of the empty prompt. v0: the negative prompt is cut, or its last vector repeated.
    The parts of each side are lengthened alike first.
    """
    longer, other = lengthened(positive), lengthened(negative)
    if pad == "none" or not longer or not other:
        return longer, other
    length = longer[0].context.shape[1]
    if pad == "v0":
        return longer, _each(other, lambda context: _repeated(context, length)[:, :length])
    length = max(length, other[0].context.shape[1])
    fill = empty.context
    return (
        _each(longer, lambda context: _appended(context, fill, length)),
        _each(other, lambda context: _appended(context, fill, length)),
    )


def _each(parts: Sequence[Encoding], change: Callable[[Tensor], Tensor]) -> list[Encoding]:
    """`parts` with their contexts changed; those that are one stay one."""
    made = {part: _with(part, change(part.context)) for part in dict.fromkeys(parts)}
    return [made[part] for part in parts]


def _with(part: Encoding, context: Tensor) -> Encoding:
    return part if context is part.context else Encoding(context, part.vector)


def _repeated(context: Tensor, length: int) -> Tensor:
    missing = length - context.shape[1]
    return (
        torch.cat([context, context[:, -1:].expand(-1, missing, -1)], 1) if missing > 0 else context
    )


def _appended(context: Tensor, fill: Tensor, length: int) -> Tensor:
    missing = (length - context.shape[1]) // fill.shape[1]
    return torch.cat([context, *[fill] * missing], dim=1) if missing > 0 else context
