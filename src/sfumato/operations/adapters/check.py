"""A LoRA looked through: what it changes and how strongly, what is dead in it, where it fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import sqrt
from os import PathLike
from pathlib import Path
from typing import Literal

from sfumato.catalogue.identify import identify
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.open import open_model
from sfumato.containers.parallel import in_order
from sfumato.errors import Damaged, Refused, Unsupported
from sfumato.operations.adapters.blocks import block_of, in_block_order, rough_block_of
from sfumato.operations.adapters.lora import open_lora, place_lora
from sfumato.operations.adapters.lora_file import Lora
from sfumato.operations.adapters.opened import Opened, opened
from sfumato.operations.adapters.parts import Part, loose_parts, take_apart
from sfumato.operations.adapters.refusal import misplaced
from sfumato.operations.adapters.strengths import Strength, strength_alone, strength_on
from sfumato.operations.merging.blocks import blocks_of

State = Literal["alive", "zero", "broken", "unread"]
"""changes something · changes nothing · has numbers that are none · takes a model to be told"""


@dataclass(frozen=True, slots=True)
class LayerCheck:
    """One change of one weight."""

    name: str
    """key of the weight in a checkpoint; the module's name in the file without a model"""
    role: str
    """unet | text_encoder | text_encoder_2"""
    block: str
    """IN04, M00, OUT11 of the UNet; TE, TE2; "down 0" where the sizes are not known"""
    kind: str
    """lora | locon | loha | …"""
    rank: int
    """0 where the kind has none"""
    scale: float
    """alpha / rank"""
    norm: float | None
    """Frobenius norm of the change at strength 1; None where it cannot be told"""
    weight: float | None
    """norm of the weight itself; None without a model"""
    state: State
    reason: str = ""
    """what is wrong with it"""

    @property
    def share(self) -> float | None:
        """Norm of the change over norm of the weight; None where one of them is not known."""
        return self.norm / self.weight if self.norm is not None and self.weight else None


@dataclass(frozen=True, slots=True)
class BlockCheck:
    """The changes in one block."""

    layers: int
    norm: float
    """of all changes whose norm is known, together"""
    share: float | None
    """the same over the norm of the weights that are changed; None without a model"""


@dataclass(frozen=True, slots=True)
class LoraCheck:
    """What was found in a LoRA."""

    path: Path
    verdict: Verdict
    tensors: int
    """of the file, without embeddings that it carries"""
    applied: int | None
    """of these, tensors that apply to the model; None without a model"""
    model: Path | None
    layers: tuple[LayerCheck, ...]
    notes: tuple[str, ...] = ()
    """why tensors do not apply, one sentence each"""
    refusal: str = ""
    """why it is not for this model at all, in one sentence"""

    @property
    def dead(self) -> tuple[LayerCheck, ...]:
        """Layers that change nothing, or break what they change."""
        return tuple(layer for layer in self.layers if layer.state in ("zero", "broken"))

    @property
    def sound(self) -> bool:
        """True where nothing is broken and, with a model, everything applies to it."""
        broken = any(layer.state == "broken" for layer in self.layers)
        everything = self.applied is None or self.applied == self.tensors
        return bool(self.layers) and not broken and not self.refusal and everything

    @property
    def blocks(self) -> Mapping[str, BlockCheck]:
        """Block → all its changes together, in the order of the network."""
        piles: dict[str, list[LayerCheck]] = {}
        for layer in self.layers:
            piles.setdefault(layer.block, []).append(layer)
        return {block: _together(piles[block]) for block in in_block_order(piles)}

    @property
    def ranks(self) -> Mapping[int, int]:
        """Rank → layers that have it; 0 for kinds without."""
        return dict(sorted(Counter(layer.rank for layer in self.layers).items()))

    @property
    def scales(self) -> Mapping[float, int]:
        """Alpha over rank → layers that are multiplied by it."""
        return dict(sorted(Counter(layer.scale for layer in self.layers).items()))


def _together(layers: list[LayerCheck]) -> BlockCheck:
    norm = sqrt(sum((layer.norm or 0.0) ** 2 for layer in layers))
    weight = sqrt(sum((layer.weight or 0.0) ** 2 for layer in layers))
    return BlockCheck(len(layers), norm, norm / weight if weight else None)


Progress = Callable[[int, int], None]
"""called with changes done and changes in all"""


def check(
    source: str | PathLike[str],
    model: str | PathLike[str] | None = None,
    *,
    progress: Progress | None = None,
) -> LoraCheck:
    """Look through a LoRA of any kind, with or without the model that it is for.

    With a model: how many tensors apply to it, and how much each weight changes. What does not
    belong to it at all is no error here but `refusal`. Norms are of the changes at strength 1;
    those of kinds that depend on the weight take a model. Every change is computed alone.

    Raises Unsupported for a file that is no LoRA, and what `open_model` raises.
    """
    with ExitStack() as resources:
        file = resources.enter_context(open_lora(source))
        verdict = identify(file, metadata=file.metadata, extras=file.extras, stem=file.path.stem)
        if verdict.kind != "lora":
            raise Unsupported(file.path, f"is no LoRA, but: {verdict.title or 'of no known kind'}")
        if model is None:
            taken = take_apart(file)
            lora = Lora(Path(source).stem, Path(source), file, (), len(file))
            lone = loose_parts(taken, file)
            tasks = [Task(part, _rough(part, name.name, verdict)) for name, part in lone]
            layers = _layers(tasks, lambda part: strength_alone(lora, part), progress)
            total = len(file) - len(taken.embeddings)
            return LoraCheck(Path(source), verdict, total, None, None, layers)
        there = opened(resources.enter_context(open_model(model)))
        lora = place_lora(file, there.target)
        blocks = blocks_of(there.target.tensors)
        tasks = [Task(part, block_of(part.role, part.key, blocks)) for part in lora.parts]
        layers = _layers(tasks, lambda part: strength_on(lora, part, there), progress)
        return LoraCheck(
            Path(source),
            verdict,
            lora.total,
            lora.applied,
            there.file.path,
            layers,
            lora.notes,
            _refusal(lora, there),
        )


@dataclass(frozen=True, slots=True)
class Task:
    """One change to be computed."""

    part: Part
    block: str


def _rough(part: Part, name: str, verdict: Verdict) -> str:
    return rough_block_of(part.role, name, verdict.family.partition("/")[0])


def _refusal(lora: Lora, there: Opened) -> str:
    try:
        misplaced(lora, there.target)
    except Refused as error:
        return str(error)
    return ""


def _layers(
    tasks: list[Task], measure: Callable[[Part], Strength], progress: Progress | None
) -> tuple[LayerCheck, ...]:
    """Every change, two at a time."""

    def work(task: Task) -> LayerCheck:
        part = task.part
        try:
            found, state, reason = measure(part), "alive", ""
        except Damaged as error:
            found, state, reason = Strength(0, 1.0, None, None), "broken", error.reason
        if state == "alive" and found.norm is None:
            state = "unread"
        elif state == "alive" and not found.norm:
            state, reason = "zero", "it changes nothing"
        return LayerCheck(
            part.key,
            part.role,
            task.block,
            "dora" if "magnitude" in part.slots else part.kind.name,
            found.rank,
            found.scale,
            found.norm,
            found.weight,
            state,
            reason,
        )

    layers: list[LayerCheck] = []
    for layer in in_order(work, tasks):
        layers.append(layer)
        if progress is not None:
            progress(len(layers), len(tasks))
    return tuple(layers)
