"""The parts of a model: every tensor of a file belongs to exactly one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sfumato.catalogue.averaged import Averaged
from sfumato.catalogue.component import Match
from sfumato.catalogue.regions import BUFFERS, MARKERS, REGIONS, SCALES, Region
from sfumato.catalogue.survey import Loose, Survey
from sfumato.catalogue.verdict import Part
from sfumato.containers.tensor import Tensor, Tensors

ORDER: tuple[str, ...] = (
    "unet", "dit", "vae", "text_encoder", "text_encoder_2", "text_encoder_3", "ema", "vision",
    "depth", "control", "adapter", "conditioner", "safety", "loss", "buffers", "quantisation",
    "markers", "optimizer", "training", "unknown",
)  # fmt: skip
"""roles in the order in which a card lists them"""

UNKNOWN = Region("", "unknown", "tensors that no known program reads")
SCHEDULE = Region("", "buffers", "noise schedule tables")
MARKS = Region("", "markers", "markers")
QUANTISED = Region("", "quantisation", "scales of quantised weights")

Owner = Match | Loose | Region
"""what a part is made from"""


@dataclass(slots=True)
class _Pile:
    owner: Owner
    names: list[str] = field(default_factory=list[str])


def divide(model: Tensors, found: Survey, average: Averaged | None) -> tuple[Part, ...]:
    """Sort every tensor of `model` into parts, the most important first."""
    piles: dict[int, _Pile] = {}
    for prefix, names in found.regions.items():
        fallback = REGION_OF.get(prefix.removeprefix(found.wrapper), UNKNOWN)
        for name in names:
            owner = found.owners.get(name) or _without_network(
                name.removeprefix(found.wrapper), fallback
            )
            pile = piles.get(id(owner))
            if pile is None:
                pile = piles[id(owner)] = _Pile(owner)
            pile.names.append(name)
    parts = [_part(model, pile, average) for pile in piles.values()]
    return tuple(sorted(parts, key=lambda part: ORDER.index(part.role)))


REGION_OF: Mapping[str, Region] = {region.prefix: region for region in REGIONS}


def _without_network(name: str, fallback: Region) -> Region:
    if name in BUFFERS:
        return SCHEDULE
    if name in MARKERS:
        return MARKS
    return QUANTISED if name.endswith(SCALES) else fallback


def _part(model: Tensors, pile: _Pile, average: Averaged | None) -> Part:
    owner, names = pile.owner, pile.names
    if isinstance(owner, Match):
        return measured(model, owner, names)
    region = owner.region if isinstance(owner, Loose) else owner
    if region.role == "ema" and average is not None:
        return _average_part(model, average, names)
    return plain(
        model, names, region.role, region.title, prefix=owner.prefix, expected=region.expected
    )


def measured(model: Tensors, match: Match, names: Sequence[str]) -> Part:
    """The part that a network's tensors make up."""
    extra = sum(name not in match.tree for name in match.found)
    return plain(
        model,
        names,
        match.role,
        match.title,
        prefix=match.prefix,
        expected=len(match.tree) + extra,
        missing=tuple(match.prefix + name for name in match.missing),
        reshaped=_clauses(match),
        custom=match.custom,
    )


def _clauses(match: Match) -> tuple[str, ...]:
    return tuple(
        f"{match.prefix}{name} is {list(found)}, expected {list(expected)}"
        for name, (found, expected) in match.reshaped.items()
    )


def _average_part(model: Tensors, average: Averaged, names: Sequence[str]) -> Part:
    return plain(
        model,
        names,
        "ema",
        f"averaged (EMA) copy of the {average.title}"
        + (", and of its text encoder" if average.texts else ""),
        prefix="model_ema.",
        expected=average.expected + len(average.texts),
        missing=average.missing,
        reshaped=average.reshaped,
        custom=average.custom,
    )


def plain(
    model: Tensors,
    names: Sequence[str],
    role: str,
    title: str,
    *,
    prefix: str = "",
    expected: int = 0,
    missing: tuple[str, ...] = (),
    reshaped: tuple[str, ...] = (),
    custom: bool = False,
) -> Part:
    """A part with the sums over its tensors."""
    parameters, nbytes, dtypes = _sums(model[name] for name in names)
    return Part(
        role,
        title,
        prefix,
        len(names),
        parameters,
        nbytes,
        dtypes,
        expected,
        missing,
        reshaped,
        custom,
        tuple(names),
    )


def _sums(tensors: Iterable[Tensor]) -> tuple[int, int, dict[str, int]]:
    """Parameters, bytes, name of the dtype or of the quantised blocks → number of tensors."""
    parameters = bits = 0
    dtypes: dict[str, int] = {}
    for tensor in tensors:
        count = 1
        for size in tensor.shape:
            count *= size
        dtype, origin = tensor.dtype, tensor.origin
        parameters += count
        bits += count * dtype.bits
        name = origin.encoding or dtype.name if origin is not None else dtype.name
        dtypes[name] = dtypes.get(name, 0) + 1
    return parameters, bits // 8, dtypes
