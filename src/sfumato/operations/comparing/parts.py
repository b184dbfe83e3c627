"""Two parts side by side: tensor by tensor, summed for each block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sfumato.operations.comparing.blocks import block, ordered
from sfumato.operations.comparing.pairs import Pair, Sort, ratio
from sfumato.operations.comparing.sections import Section

State = Literal["identical", "same", "changed", "other"]
"""identical: the same bytes · same: the same weights in another type · changed: other numbers ·
other: another network, of which hardly a tensor has the same name and shape"""

FURTHEST = 5
"""tensors kept as those that changed most"""

KIN = 0.5
"""share of the tensors that must have a partner of the same shape, else it is another network"""


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a network, over all its tensors."""

    name: str
    tensors: int
    changed: int
    """of these, tensors whose numbers differ by more than rounding"""
    distance: float
    """L2 norm of the difference over the L2 norm of the first"""


@dataclass(frozen=True, slots=True)
class PartDifference:
    """What laying two parts side by side showed."""

    role: str
    title: str
    """of the part in the first model"""
    other_title: str
    dtypes: tuple[str, ...]
    other_dtypes: tuple[str, ...]
    sorts: Mapping[Sort, int] = field(default_factory=dict[Sort, int])
    """sort of pair → number of tensors"""
    missing: tuple[str, ...] = ()
    """names that only the first model has"""
    extra: tuple[str, ...] = ()
    """names that only the second model has"""
    spare: tuple[str, ...] = ()
    """names that one of the two has and that not every spelling keeps; nothing depends on them"""
    reshaped: tuple[Pair, ...] = ()
    unread: tuple[Pair, ...] = ()
    blocks: tuple[Block, ...] = ()
    furthest: tuple[Pair, ...] = ()
    """tensors that are relatively furthest apart, the furthest first"""
    distance: float = 0.0
    """L2 norm of all differences over the L2 norm of the first part"""
    largest: float = 0.0
    """largest difference of two numbers"""
    numbers: int = 0
    """numbers that were compared"""
    changed: int = 0
    """of these, numbers that differ in value, if only by rounding"""
    odd: int = 0
    """numbers that are NaN or infinite in one and not in the other"""

    @property
    def tensors(self) -> int:
        """Tensors that both have."""
        return sum(self.sorts.values())

    @property
    def differing(self) -> int:
        """Tensors that both have and whose numbers differ by more than rounding."""
        return sum(self.sorts.get(sort, 0) for sort in ("changed", "reshaped", "unread"))

    @property
    def complete(self) -> bool:
        """True where every tensor has its partner."""
        return not self.missing and not self.extra

    @property
    def state(self) -> State:
        """What it comes to."""
        partners = self.tensors - self.sorts.get("reshaped", 0)
        if partners < KIN * (self.tensors + max(len(self.missing), len(self.extra))):
            return "other"
        if self.differing:
            return "changed"
        return "identical" if set(self.sorts) <= {"identical"} else "same"


def lay_out(first: Section, second: Section) -> Iterator[str]:
    """The names that both sections have, in the order of the first."""
    return (name for name in first.tensors if name in second.tensors)


def summed(first: Section, second: Section, pairs: Iterable[Pair]) -> PartDifference:
    """The sums over all pairs of two sections."""
    found = tuple(pairs)
    alone = [name for name in first.tensors if name not in second.tensors]
    new = [name for name in second.tensors if name not in first.tensors]
    apart, norm = sum(p.apart for p in found), sum(p.norm for p in found)
    changed = [pair for pair in found if pair.sort == "changed"]
    return PartDifference(
        role=first.role,
        title=first.title,
        other_title=second.title,
        dtypes=first.dtypes,
        other_dtypes=second.dtypes,
        sorts=dict(Counter(pair.sort for pair in found)),
        missing=tuple(name for name in alone if name not in first.spare),
        extra=tuple(name for name in new if name not in second.spare),
        spare=tuple(n for n in alone + new if n in first.spare or n in second.spare),
        reshaped=tuple(pair for pair in found if pair.sort == "reshaped"),
        unread=tuple(pair for pair in found if pair.sort == "unread"),
        blocks=tuple(_blocks(found, first.network)),
        furthest=tuple(sorted(changed, key=lambda pair: -pair.distance)[:FURTHEST]),
        distance=ratio(apart, norm),
        largest=max((pair.largest for pair in found), default=0.0),
        numbers=sum(pair.size for pair in found if pair.sort not in ("reshaped", "unread")),
        changed=sum(pair.changed for pair in found),
        odd=sum(pair.odd for pair in found),
    )


def _blocks(pairs: Iterable[Pair], network: str) -> Iterator[Block]:
    piles: dict[str, list[Pair]] = {}
    for pair in pairs:
        piles.setdefault(block(pair.name, network), []).append(pair)
    for name in ordered(piles, network):
        pile = piles[name]
        distance = ratio(sum(p.apart for p in pile), sum(p.norm for p in pile))
        yield Block(name, len(pile), sum(not pair.same for pair in pile), distance)
