"""Changes as products of chosen ranks: computed layer by layer, laid aside, then cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import NamedTuple

from sfumato.catalogue.spelling.networks import Module
from sfumato.containers.dtype import DType
from sfumato.containers.sizes import counted
from sfumato.containers.text import escape
from sfumato.errors import UsageError
from sfumato.operations.lora.crew import each
from sfumato.operations.lora.factor import Factors
from sfumato.operations.lora.made import Made, is_kernel, product
from sfumato.operations.lora.ranks import MOST, Wish, wish
from sfumato.operations.lora.spool import Laid, Spool
from sfumato.operations.plan import Progress


@dataclass(frozen=True, slots=True, eq=False)
class Sought:
    """One layer whose change is to become a product."""

    role: str
    module: Module
    shape: tuple[int, ...]
    """of the weight as an adapter sees it"""
    factors: Callable[[int], Factors]
    """called once, with the ranks that must be known"""
    nbytes: int = 0
    """bytes that are read for it"""

    @property
    def name(self) -> str:
        """As a person reads it."""
        return f"{self.role}.{self.module.diffusers}"


@dataclass(frozen=True, slots=True)
class Ranks:
    """The rules by which ranks are chosen."""

    usual: Wish
    kernels: Wish | None = None
    """for convolutions larger than 1×1; None for the usual rule"""
    most: int = MOST
    """ranks at most, whatever the rule says"""

    def known(self, shape: tuple[int, ...]) -> int:
        """Ranks of such a layer that must be computed before one is chosen."""
        own = self.kernels if self.kernels is not None and is_kernel(shape) else self.usual
        return own.most or self.most


def ranks_asked(
    rank: int | str, conv_rank: int | str | None = None, most: int | None = None
) -> Ranks:
    """The rules of these words. Raises UsageError where they make no sense together."""
    usual = wish(rank)
    kernels = None if conv_rank is None else wish(conv_rank)
    if kernels is not None and kernels != usual and "size" in (usual.rule.name, kernels.rule.name):
        raise UsageError("a size is for the whole file, so convolutions have no rule of their own")
    if most is not None and most < 1:
        raise UsageError(f"at most {most} ranks: expected 1 or more")
    return Ranks(usual, kernels, most or MOST)


class Cut(NamedTuple):
    """A layer with the rank that was chosen for it."""

    sought: Sought
    laid: Laid
    rank: int

    def made(self) -> Made:
        """Its tensors."""
        sought = self.sought
        return product(
            sought.role, sought.module, sought.shape, self.rank,
            up=lambda: self.laid.up.first(self.rank).mT,
            down=lambda: self.laid.down.first(self.rank),
        )  # fmt: skip

    @property
    def left(self) -> float:
        """‖ΔW − what is kept‖²."""
        return self.laid.left(self.rank)


def lay_all(
    every: Sequence[Sought], spool: Spool, ranks: Ranks, progress: Progress | None = None
) -> list[Laid]:
    """Factor every layer, two at a time; progress counts the bytes that are read for them."""
    total, done = sum(sought.nbytes for sought in every), 0
    found: list[Laid] = []
    laying = each(lambda sought: spool.lay(sought.factors(ranks.known(sought.shape))), every)
    for sought, laid in zip(every, laying, strict=True):
        found.append(laid)
        done += sought.nbytes
        if progress is not None:
            progress(done, total)
    return found


def cut(every: Sequence[Sought], laid: Sequence[Laid], ranks: Ranks, dtype: DType) -> list[Cut]:
    """Choose a rank for every layer; layers that get none are left out."""
    kernels = [ranks.kernels is not None and is_kernel(sought.shape) for sought in every]
    chosen = [0] * len(every)
    for own, rule in ((False, ranks.usual), (True, ranks.kernels or ranks.usual)):
        places = [place for place, kernel in enumerate(kernels) if kernel == own]
        spectra = [laid[place].spectrum for place in places]
        for place, rank in zip(places, rule.choose(spectra, dtype.bits // 8), strict=True):
            chosen[place] = min(rank, ranks.most if not rule.most else rank)
    return [Cut(*item) for item in zip(every, laid, chosen, strict=True) if item[2]]


def later(progress: Progress | None, first: int) -> Progress | None:
    """Progress of what follows upon work of `first` bytes."""
    if progress is None:
        return None
    return lambda done, total: progress(first + done, first + total)


@dataclass(frozen=True, slots=True)
class Loss:
    """What cutting to ranks cost."""

    square: float = 0.0
    left: float = 0.0
    blocks: Mapping[str, tuple[float, float]] = field(
        default_factory=dict[str, tuple[float, float]]
    )
    """block → what is left of it, and all of it"""

    @property
    def error(self) -> float:
        """‖ΔW − what is kept‖ / ‖ΔW‖ over all layers."""
        return sqrt(self.left / self.square) if self.square else 0.0


def loss(every: Sequence[Sought], laid: Sequence[Laid], cuts: Iterable[Cut]) -> Loss:
    """What the chosen ranks leave of all changes, in all and block by block."""
    kept = {id(one.sought): one.left for one in cuts}
    blocks: dict[str, tuple[float, float]] = {}
    for sought, one in zip(every, laid, strict=True):
        name = block(sought)
        left, whole = blocks.get(name, (0.0, 0.0))
        blocks[name] = left + kept.get(id(sought), one.square), whole + one.square
    lefts, wholes = (sum(pair[axis] for pair in blocks.values()) for axis in (0, 1))
    return Loss(wholes, lefts, blocks)


def block(sought: Sought) -> str:
    """The block that a layer is in: input_blocks.4, middle_block, text_encoder layer 3 …"""
    if sought.role != "unet":
        parts = sought.module.diffusers.split(".")
        number = next((part for part in parts if part.isdigit()), "")
        return f"{sought.role} layer {number}" if number else sought.role
    parts = sought.module.ldm.split(".")
    return ".".join(parts[:2]) if parts[0].endswith("put_blocks") else parts[0]


def sentences(found: Loss, cuts: Sequence[Cut]) -> tuple[str, ...]:
    """The same for a person: in all, then block by block."""
    ranks = sorted({one.rank for one in cuts})
    told = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"
    share = 1 - found.left / found.square if found.square else 1.0
    whole = (
        f"{counted(len(cuts), 'layer')} of {told}: they hold {share:.2%} of the change "
        f"(relative error {found.error:.3g})"
    )
    rows = (
        f"  {escape(name, 40):<22} {1 - left / square:>8.2%}"
        for name, (left, square) in found.blocks.items() if square
    )  # fmt: skip
    return (whole, *rows)
