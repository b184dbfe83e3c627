"""How much of its training a checkpoint still carries, and what cannot be known about that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sfumato.catalogue.verdict import Part
from sfumato.containers.dtype import DTYPES
from sfumato.containers.model_file import Leaf

SINGLE_NOTE = (
    "whether these weights are the averaged (EMA) or the trained ones cannot be told: "
    "both editions have the same keys"
)

DENOISERS = ("unet", "dit")


def edition(parts: Sequence[Part], extras: Mapping[str, Leaf]) -> tuple[str, str]:
    """The edition in a few words, and a note on what remains unknown about it.

    Empty where the word means nothing: the file has no UNet, live or averaged.
    """
    roles = {part.role for part in parts}
    live, averaged = not roles.isdisjoint(DENOISERS), _averages(parts)
    if not live and not averaged:
        return "", ""
    width = _precision(parts)
    if "optimizer" in roles:
        both = "live + EMA" if averaged and live else "EMA" if averaged else "live"
        return f"full training state ({both} weights, optimizer), {width}", ""
    if live and averaged:
        return f"live + EMA, {width}", "the trained and the averaged weights are both inside"
    if averaged:
        note = "only averaged weights, under names that painting programs do not read"
        return f"EMA only, {width}", note
    return f"single set, {width}", SINGLE_NOTE


def _averages(parts: Sequence[Part]) -> bool:
    """True where averages of a network are inside, not just the counters beside them."""
    return any(part.role == "ema" and part.tensors > COUNTERS for part in parts)


def _precision(parts: Sequence[Part]) -> str:
    """The dtype of the denoiser's weights: "fp16", "Q8_0", "mixed fp16 and fp32" …"""
    names = {name for part in parts if part.role in DENOISERS for name in part.dtypes}
    for part in parts:
        if part.role == "ema":  # its two counters are no weights
            names |= {name for name, count in part.dtypes.items() if count > COUNTERS}
    # Quantised files keep vectors as they were: what the matrices are stored in is the precision.
    names = names.difference(DTYPES) or names
    words = [WORDS.get(name, name) for name in sorted(names)]
    if not words:
        return "of unknown precision"
    return words[0] if len(words) == 1 else f"mixed {' and '.join(words)}"


COUNTERS = 2
"""tensors beside the averages that count updates"""

WORDS: dict[str, str] = {"F16": "fp16", "F32": "fp32", "BF16": "bf16", "F64": "fp64"}
"""dtypes as people say them"""
