"""A published network, a way of spelling networks, and how a file's tensors compare with both."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Generic, TypeVar

from sfumato.catalogue.sizes.hyperparameters import Number
from sfumato.catalogue.trees.control import Adapter, ControlNet
from sfumato.catalogue.trees.dit import SD3, Flux
from sfumato.catalogue.trees.shapes import Shape, Shapes
from sfumato.catalogue.trees.text import T5, Text
from sfumato.catalogue.trees.tiny_vae import ApproxVAE, TinyVAE
from sfumato.catalogue.trees.unet import UNet
from sfumato.catalogue.trees.vae import VAE
from sfumato.catalogue.trees.vision import Vision

Sizes = UNet | VAE | TinyVAE | ApproxVAE | Text | T5 | SD3 | Flux | Vision | ControlNet | Adapter
"""what a network's keys and shapes follow from"""

S = TypeVar("S", bound=Sizes)
S_co = TypeVar("S_co", bound=Sizes, covariant=True)

NEARLY = 0.9
"""share of a published network's tensors above which a file is that network with faults"""

SLIGHT = 0.98
"""share above which a network that merely lacks tensors is a published one, though it would be
whole as one of another size: a VAE without its convolutions around the latent, say"""

BARELY = 0.2
"""share below which a file is not the network at all"""


@dataclass(frozen=True, slots=True)
class Component(Generic[S_co]):
    """A published network."""

    title: str
    """as a person says it: "SD1 UNet" """
    family: str
    sizes: S_co
    variant: str = ""
    role: str = ""
    """the part it plays where that differs from its layout's"""
    marks: tuple[str, ...] = ()
    """keys of the file without which it is not this one; networks of equal sizes differ in them"""


def nothing(sizes: Sizes) -> Shapes:
    """No keys beyond the tree."""
    return {}


def nothing_spare(sizes: Sizes, prefix: str) -> frozenset[str]:
    """No keys that may be absent."""
    return frozenset()


@dataclass(frozen=True, slots=True)
class Layout(Generic[S]):
    """One way of spelling one sort of network."""

    name: str
    role: str
    title: str
    """the sort of network, for one that is not published: "UNet" """
    spelling: str
    """ldm | diffusers | openclip | …"""
    anchors: tuple[str, ...]
    """keys that no other layout has; one of them is enough to look closer"""
    read: Callable[[Shapes], S | None]
    build: Callable[[S], Shapes]
    published: tuple[Component[S], ...]
    vetoes: tuple[str, ...] = ()
    """keys that another network has which includes this one"""
    optional: Callable[[S], Shapes] = nothing
    """keys beyond the tree that some files have"""
    spare: Callable[[S, str], frozenset[str]] = nothing_spare
    """keys of the tree that some files rightly lack, given the prefix"""

    def measure(self, shapes: Shapes, prefix: str = "") -> Match | None:
        """Compare `shapes`, whose keys no longer have `prefix`, with this layout's networks."""
        sizes = self.read(shapes)
        own = (
            None
            if sizes is None or _monstrous(sizes, shapes)
            else self._match(sizes, shapes, prefix)
        )
        if own is not None and not own.faults and not own.custom and own.explains(shapes):
            return own
        known = (self._match(known, shapes, prefix) for known in self._nearest(sizes))
        best = max(known, key=lambda match: (match.gain, -len(match.tree)), default=None)
        return _better(own, best)

    def named(self, sizes: Sizes) -> tuple[Component[S], ...]:
        """The published networks that have exactly these sizes."""
        return tuple(component for component in self.published if component.sizes == sizes)

    def _match(self, sizes: S, shapes: Shapes, prefix: str) -> Match:
        tree, optional = self.build(sizes), self.optional(sizes)
        spare = self.spare(sizes, prefix)
        known = tuple(sorted(self.named(sizes), key=lambda component: len(component.marks)))
        return Match(
            layout=self.name,
            role=(known[0].role if known else "") or self.role,
            title=known[0].title if known else f"{self.title}, custom size",
            spelling=self.spelling,
            prefix=prefix,
            sizes=sizes,
            components=known,
            tree=tree,
            found=tuple([name for name in shapes if name in tree or name in optional]),
            missing=tuple([n for n in tree if n not in shapes and n not in spare]),
            reshaped=_reshaped(shapes, tree) | _reshaped(shapes, optional),
        )

    def _nearest(self, sizes: S | None) -> Iterator[S]:
        """Published sizes, those that differ in the fewest fields first; few where any are near."""
        every = list(dict.fromkeys(component.sizes for component in self.published))
        if sizes is None:
            yield from every
            return
        yield from sorted(every, key=lambda known: len(differences(known, sizes)))[:4]


@dataclass(frozen=True, slots=True)
class Match:
    """What became of comparing a file's tensors with a network."""

    layout: str
    role: str
    title: str
    spelling: str
    prefix: str
    sizes: Sizes
    components: tuple[Component[Sizes], ...]
    """published networks of these sizes, the likeliest first; empty for a custom size"""
    tree: Shapes = field(repr=False)
    found: tuple[str, ...] = field(repr=False)
    """keys of the network that the file has, without the prefix, in file order"""
    missing: tuple[str, ...]
    reshaped: Mapping[str, tuple[Shape, Shape]]
    """key → shape in the file, shape expected"""

    @property
    def custom(self) -> bool:
        """True for sizes that were never published."""
        return not self.components

    @property
    def faults(self) -> int:
        """Tensors that are missing or have a wrong shape."""
        return len(self.missing) + len(self.reshaped)

    @property
    def gain(self) -> int:
        """Tensors explained less those that are wrong: the likeliest of several readings has most.

        So half of a network and one tensor of the other half are that half, and a whole network
        that lacks one tensor is no half.
        """
        return len(self.found) - len(self.reshaped) - self.faults

    def explains(self, shapes: Shapes) -> bool:
        """True where no tensor of `shapes` is left over."""
        return len(self.found) == len(shapes)

    @property
    def agreement(self) -> float:
        """Share of the network's tensors that the file has in the right shape."""
        return 1 - self.faults / len(self.tree)


def _better(own: Match | None, best: Match | None) -> Match | None:
    """The likelier of two readings: the sizes that were read off, the nearest published ones.

    What is missing, and what may be spared, make a published network look like a whole one of
    another size.
    """
    if own is None or best is None:
        chosen = own or best
    elif own.custom and _is_damaged(best, own):
        chosen = best
    else:
        chosen = own if own.gain > best.gain else best
    return chosen if chosen is not None and chosen.agreement >= BARELY else None


def _is_damaged(best: Match, own: Match) -> bool:
    """True where a published network with faults is likelier than one of the sizes read off."""
    if own.faults:
        return best.agreement >= NEARLY
    return best.agreement >= SLIGHT and not best.reshaped


def settle(match: Match, names: Container[str]) -> Match:
    """`match` with the network first whose marks are all among `names`, as its title says."""
    marked = [c for c in match.components if c.marks and all(m in names for m in c.marks)]
    if not marked:
        return match
    chosen = max(marked, key=lambda component: len(component.marks))
    others = tuple(c for c in match.components if c is not chosen)
    return replace(match, title=chosen.title, components=(chosen, *others))


def differences(known: Sizes, found: Sizes) -> dict[str, tuple[Number, Number]]:
    """Field → value of `known`, value of `found`, wherever they differ."""
    mine, theirs = numbers(known), numbers(found)
    return {
        name: (value, theirs[name])
        for name, value in mine.items()
        if name in theirs and theirs[name] != value
    }


@lru_cache(maxsize=256)
def numbers(sizes: Sizes) -> Mapping[str, Number]:
    """The fields of `sizes` as plain values, for display."""
    if isinstance(sizes, ControlNet):
        return {**numbers(sizes.unet), "hint": sizes.hint}
    found: dict[str, Number] = {}
    for entry in fields(sizes):
        value: Number = object.__getattribute__(sizes, entry.name)
        found[entry.name] = tuple(map(int, value)) if isinstance(value, tuple) else value
    return {n: int(v) if isinstance(v, bool) else v for n, v in found.items()}


def _reshaped(shapes: Shapes, tree: Shapes) -> dict[str, tuple[Shape, Shape]]:
    return {
        name: (shapes[name], shape)
        for name, shape in tree.items()
        if shapes.get(name, shape) != shape
    }


REPEATED = ("layers", "depth", "dual", "doubles", "singles", "distilled", "blocks", "middle")
"""fields that say how often something is repeated"""

LISTED = ("depths", "rises")
"""fields that do so per block"""


def _monstrous(sizes: Sizes, shapes: Shapes) -> bool:
    """True where a tree would be far larger than the file it was read off: a file made to hurt."""
    found = numbers(sizes)
    repeats = 0
    for name in REPEATED + LISTED:
        value = found.get(name, 0)
        repeats += sum(value) if isinstance(value, tuple) else max(0, int(value))
    levels = max((len(v) for v in found.values() if isinstance(v, tuple)), default=1)
    return 8 * (repeats + levels) > len(shapes) + 1024
