"""Why a model is taken for what it is: facts for and against, and the next best reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized

from sfumato.catalogue.component import Component, Match, Sizes, differences
from sfumato.catalogue.families import TITLES
from sfumato.catalogue.layouts import LAYOUTS
from sfumato.catalogue.sizes.hyperparameters import Number
from sfumato.catalogue.trees.unet import NO_ATTENTION, NO_MIDDLE, UNet
from sfumato.catalogue.verdict import Confidence, Part

FIELDS: Mapping[str, str] = {
    "widths": "level widths",
    "depths": "transformer blocks on the way down",
    "rises": "transformer blocks on the way up",
    "middle": "transformer blocks in the middle",
    "context": "numbers per text token",
    "inputs": "input channels",
    "outputs": "output channels",
    "blocks": "residual blocks per level",
    "labels": "numbers in the label vector",
    "classes": "rows of the class table",
    "linear_projection": "linear projections",
    "class_labels": "picture embeddings as labels",
    "cross_only": "levels without self-attention",
    "latent": "latent channels",
    "multipliers": "width multipliers",
    "quant": "convolutions around the latent",
    "width": "width",
    "layers": "layers",
    "depth": "blocks",
    "doubles": "double blocks",
    "singles": "single blocks",
    "guidance": "guidance inputs",
    "positions": "positions",
}
"""sizes as a person says them"""


def said(name: str, value: Number) -> str:
    """One size in words: "4 input channels", "level widths 320, 640" …"""
    word = FIELDS.get(name, name.replace("_", " "))
    if name == "middle" and value in (NO_ATTENTION, NO_MIDDLE):
        return "no attention in the middle" if value == NO_ATTENTION else "no middle block"
    if isinstance(value, tuple):
        return f"{word} {', '.join(map(str, value)) or 'none'}"
    return f"{value} {word}"


def for_match(match: Match) -> str:
    """How far a network's tensors are there, in one clause."""
    place = f" under {match.prefix}" if match.prefix else ""
    whole = len(match.tree)
    if not match.faults:
        return f"all {whole} tensors of the {match.title} are there{place}, in the right shapes"
    right = round(match.agreement * whole)
    return f"{right} of {whole} tensors of the {match.title} are there{place} in the right shape"


def against_match(match: Match) -> Iterator[str]:
    """What is wrong with a network's tensors, one clause each."""
    if match.missing:
        first = match.prefix + match.missing[0]
        verb = "is missing:" if len(match.missing) == 1 else "are missing, such as"
        yield f"{_share(match.missing, match)} {verb} {first}"
    if match.reshaped:
        name, (found, expected) = next(iter(match.reshaped.items()))
        yield (
            f"{_share(match.reshaped, match)} {'has' if len(match.reshaped) == 1 else 'have'} "
            f"another shape, such as {match.prefix}{name}: {list(found)}, expected {list(expected)}"
        )


def _share(names: Sized, match: Match) -> str:
    return f"{len(names)} of {len(match.tree)} tensors of the {match.title}"


def runner_up(match: Match, family: str) -> str:
    """The network of another family that comes nearest, and what speaks against it."""
    rivals = [c for c in _relatives(match) if c.family != family] or [
        c for c in _relatives(match) if c not in match.components
    ]
    scored = [(differences(rival.sizes, match.sizes), rival) for rival in rivals]
    scored = [(apart, rival) for apart, rival in scored if apart or rival.marks]
    if not scored:
        return ""
    apart, rival = min(scored, key=lambda pair: (len(pair[0]), len(pair[1].marks)))
    if not apart:
        return f"{rival.title}: it would have the tensor {rival.marks[0]}"
    name, (expected, found) = min(apart.items(), key=lambda item: _weight(item[0]))
    return f"{rival.title}: it would have {said(name, expected)}, not {_value(found)}"


def _relatives(match: Match) -> Sequence[Component[Sizes]]:
    for layout in LAYOUTS:
        if layout.name == match.layout:
            return layout.published
    return ()


TELLING = ("context", "labels", "widths", "latent", "width", "layers", "depth", "inputs")


def _weight(name: str) -> int:
    """The sizes by which families are best known come first."""
    return TELLING.index(name) if name in TELLING else len(TELLING)


def _value(value: Number) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def form(unet: UNet) -> tuple[str, str]:
    """Family and variant of a UNet of no published size, by how it is built."""
    if not unet.context:
        return "unknown", ""
    if unet.classes:
        return "sd2", "upscaler-x4"
    if unet.labels:
        return ("sd2", "unclip") if unet.class_labels else ("sdxl", "")
    family = "sd2" if unet.linear_projection else "sd1"
    extra = {9: "inpainting", 8: "ip2p", 5: "depth"}
    return family, extra.get(unet.inputs, "") if unet.outputs == 4 else ""


def about_form(unet: UNet, family: str) -> str:
    """Why a UNet of no published size is put into a family."""
    kind = "linear" if unet.linear_projection else "1×1 convolution"
    labels = f"a label vector of {unet.labels}" if unet.labels else "no label vector"
    return f"the layout is that of {TITLES.get(family, family)}: {kind} projections, {labels}"


def confidence(matches: Sequence[Match], contradictions: Sequence[str]) -> Confidence:
    """certain: all is there · likely: most is, or the size is unknown · guess: less than that."""
    if not matches:
        return "guess"
    worst = min(match.agreement for match in matches)
    if worst < 0.9:
        return "guess"
    custom = any(match.custom for match in matches)
    return "likely" if custom or worst < 1 or contradictions else "certain"


def left_over(parts: Sequence[Part]) -> tuple[str, ...]:
    """Keys that belong to no known part."""
    return tuple(name for part in parts if part.role == "unknown" for name in part.names)
