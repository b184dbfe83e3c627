"""The averaged (EMA) copy of a network, whose names have lost their dots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from sfumato.catalogue.component import Match
from sfumato.catalogue.layouts import UNET_LDM, VAE_LDM
from sfumato.catalogue.survey import Survey
from sfumato.catalogue.trees.shapes import Shape, Shapes

PREFIX = "model_ema."
COUNTERS = ("model_ema.decay", "model_ema.num_updates")
"""how fast the average moves, and how often it was moved"""


@dataclass(frozen=True, slots=True)
class Averaged:
    """How an averaged copy compares with the network it is a copy of."""

    match: Match
    """the network, its tensors named as they would be live"""
    title: str
    names: Mapping[str, str]
    """live name → name of its average, for those that are in the file"""
    expected: int
    missing: tuple[str, ...]
    """averaged names that are not there"""
    reshaped: tuple[str, ...]
    custom: bool
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    """whole live name → name of its average, of text encoders: the original trainer kept none, this
    program's does"""


def averaged_name(name: str, inner: str) -> str:
    """LitEma deletes every dot of a parameter's name (ldm/modules/ema.py).

    `inner` is the network's place in the training module: `diffusion_model.` for a UNet.
    """
    return PREFIX + (inner + name).replace(".", "")


def averaged(found: Survey) -> Averaged | None:
    """The averaged copy in a file; None where there is none, or none of a known network."""
    flat = {n: s for n, s in found.shapes.items() if n.startswith(PREFIX)}
    if len(flat) <= len(COUNTERS):
        return None
    for match in found.matches:
        if match.layout in INNER:
            copy = _compare(flat, match.tree, match, INNER[match.layout])
            if len(copy.names) * 2 > len(match.tree):
                return replace(copy, texts=dict(_texts(flat, found)))
    return _alone(flat)


def _texts(flat: Shapes, found: Survey) -> Iterator[tuple[str, str]]:
    for match in found.matches:
        for name in match.tree if match.role.startswith("text_encoder") else ():
            there = averaged_name(name, match.prefix)
            if flat.get(there) == match.tree[name]:
                yield match.prefix + name, there


INNER: Mapping[str, str] = {UNET_LDM.name: "diffusion_model.", VAE_LDM.name: ""}
"""layout → its network's place in the training module"""


def _compare(flat: Shapes, tree: Shapes, match: Match, inner: str) -> Averaged:
    names = {name: averaged_name(name, inner) for name in tree}
    return Averaged(
        match,
        match.title,
        {name: there for name, there in names.items() if there in flat},
        len(tree) + sum(name in flat for name in COUNTERS),
        tuple(there for there in names.values() if there not in flat),
        tuple(
            f"{there} is {list(flat[there])}, expected {list(tree[name])}"
            for name, there in names.items()
            if there in flat and flat[there] != tree[name]
        ),
        match.custom,
    )


def _alone(flat: Shapes) -> Averaged | None:
    """A copy without its original: its dots are put back by looking names up in known networks."""
    best: tuple[dict[str, Shape], str] = ({}, "")
    for inner, tree in _known():
        names = ((name, averaged_name(name, inner)) for name in tree)
        live = {name: flat[there] for name, there in names if there in flat}
        if len(live) > len(best[0]):
            best = live, inner
    live, inner = best
    layout = UNET_LDM if inner else VAE_LDM
    match = layout.measure(live, PREFIX) if live else None
    return None if match is None else _compare(flat, match.tree, match, inner)


def _known() -> list[tuple[str, Shapes]]:
    unets = dict.fromkeys(component.sizes for component in UNET_LDM.published)
    vaes = dict.fromkeys(component.sizes for component in VAE_LDM.published)
    trees = [("diffusion_model.", UNET_LDM.build(sizes)) for sizes in unets]
    return trees + [("", VAE_LDM.build(sizes)) for sizes in vaes]
