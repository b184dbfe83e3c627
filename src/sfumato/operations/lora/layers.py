"""A LoRA file by layers: which module of which network each part changes, and by what matrix."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sfumato.catalogue.adapters.suffixes import split
from sfumato.catalogue.identify import identify
from sfumato.catalogue.spelling.networks import Module
from sfumato.catalogue.verdict import Verdict
from sfumato.containers import tensor as stored
from sfumato.containers.model_file import ModelFile
from sfumato.containers.open import open_model
from sfumato.containers.text import escape
from sfumato.errors import Refused
from sfumato.operations.adapters.deltas.factored import Slots, matrix
from sfumato.operations.adapters.deltas.kinds import change, scale
from sfumato.operations.adapters.layering import read_slots
from sfumato.operations.adapters.lora import Lora, read_lora
from sfumato.operations.adapters.opened import target_of_file
from sfumato.operations.adapters.parts import Part
from sfumato.operations.adapters.sites import sites
from sfumato.operations.adapters.target import Target
from sfumato.operations.into_torch import read_into
from sfumato.operations.lora.crew import seed_for
from sfumato.operations.lora.factor import Factors, factorise, of_product
from sfumato.operations.lora.families import NETWORKS, family_target

Place = tuple[str, tuple[int, int] | None]
"""key of a weight or bias, and its rows where several modules share it"""

VECTORS = ("w_norm", "b_norm", "diff_b")
"""slots of whole differences of vectors"""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One part of a LoRA, with the module that it changes."""

    lora: Lora
    part: Part
    module: Module
    shape: tuple[int, ...]
    """of the weight or bias as an adapter sees it"""

    @property
    def place(self) -> Place:
        """What it changes; layers of several LoRAs with the same place add up."""
        return self.part.key, self.part.view.rows

    @property
    def name(self) -> str:
        """The module as a person reads it, and as its seed is drawn from."""
        return f"{self.part.role}.{self.module.diffusers}"

    @property
    def slots(self) -> Mapping[str, stored.Tensor]:
        """Slot, as the catalogue's suffixes call it → tensor, not read."""
        return {_slot(self.part, slot): tensor for slot, tensor in self.part.tensors.items()}

    @property
    def is_bent(self) -> bool:
        """True where the change depends on the weight, so that no sum of products stands for it."""
        return self.part.kind.free is None or "magnitude" in self.part.tensors

    @property
    def is_plain(self) -> bool:
        """True for a product of two factors, and nothing else."""
        return self.part.tensors.keys() - {"alpha", "scale"} == {"up", "down"}

    @property
    def is_matrix(self) -> bool:
        """True for what a LoRA can hold; a vector is no product."""
        return len(self.shape) > 1

    def read(self) -> Slots:
        """Its tensors in float32. Raises Damaged for values that are no finite numbers."""
        return read_slots(self.lora, self.part)

    def pair(self) -> tuple[Tensor, Tensor]:
        """up (m, r) with the scale in it, and down (r, n), of a plain layer."""
        slots = self.read()
        return matrix(slots["up"]) * scale(self.part.kind, slots), matrix(slots["down"])

    def change(self, weight: Tensor | None = None) -> Tensor:
        """The whole change in the weight's shape; without `weight` but for DoRA's rescaling."""
        slots = self.read()
        factor = scale(self.part.kind, slots)
        if weight is None:
            slots = {slot: values for slot, values in slots.items() if slot != "magnitude"}
            weight = torch.empty(self.shape)
        return change(self.part.kind, slots, weight, scale=factor)

    def factors(self, rank: int, *, exact: bool, seed: int, target: Target) -> Factors:
        """Its change as a product: exact for a plain layer, which is one already."""
        if self.is_plain:
            return of_product(*self.pair())
        weight = self.weight(target) if self.is_bent else None
        own = seed_for(seed, self.name)
        return factorise(self.change(weight).flatten(1), rank, exact=exact, seed=own)

    def weight(self, target: Target) -> Tensor:
        """What it changes, in float32."""
        own = target.tensors[self.part.key]
        whole = torch.empty(own.shape)
        read_into(whole, own, source=target.path)
        return self.part.view.of(whole)


def _slot(part: Part, slot: str) -> str:
    """The slot that a tensor had in its file, where `Part` calls it otherwise."""
    if slot != "diff":
        return slot
    if part.kind.name == "lora-bias":
        return "up_bias"
    taken = split(part.slots[slot])
    return taken[1].slot if taken is not None and taken[1].slot in VECTORS else slot


def layers(lora: Lora, target: Target) -> list[Layer]:
    """Every part of a LoRA with its module, in the file's order."""
    known: dict[Place, Module] = {}
    for site in sites(target):
        for module in site.modules:
            key = site.prefix + module.weight
            known[key, module.rows] = module
            known[key.removesuffix("weight") + "bias", module.rows] = module
    return [
        Layer(lora, part, known[part.key, part.view.rows], _shape(part, target))
        for part in lora.parts
    ]


def _shape(part: Part, target: Target) -> tuple[int, ...]:
    shape = target.shape(part.key)
    assert shape is not None  # or the part would not have been placed
    return tuple(part.view.of(torch.empty(shape, device="meta")).shape)


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """LoRA files of one family, and the model that their names were looked up in."""

    loras: tuple[Lora, ...]
    target: Target
    spelling: str
    """the first file's, in the catalogue's words"""
    has_weights: bool
    """True where the target is a file, and not only the sizes of a published model"""

    def layers(self) -> Iterator[Layer]:
        """The layers of all files, one file after the other."""
        for lora in self.loras:
            yield from layers(lora, self.target)

    @property
    def model(self) -> tuple[Path, ...]:
        """The model's file, where there is one."""
        return (self.target.path,) if self.has_weights else ()

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """The files."""
        return tuple(lora.file for lora in self.loras)


@contextmanager
def opened(paths: Sequence[Path], model: Path | None = None) -> Generator[Opened]:
    """LoRA files, placed on `model` or, without one, on the published model of their family.

    Raises Refused for files of several families, for one of a model of no published size where
    that is not given, and what `read_lora` does.
    """
    with ExitStack() as open_files:
        target = _target(model, open_files) if model is not None else None
        loras: list[Lora] = []
        spelling = ""
        for path in paths:
            with open_model(path) as file:
                found = identify(file, metadata=file.metadata, extras=file.extras, stem=path.stem)
                if found.kind != "lora":
                    raise Refused(f"{path}: is no LoRA but: {found.title or found.kind}")
            spelling = spelling or (found.adapter.spelling if found.adapter else "")
            if target is None:
                target = _published(path, found)
            loras.append(read_lora(path, target))
            open_files.callback(loras[-1].close)
        assert target is not None
        yield Opened(tuple(loras), target, spelling, model is not None)


def _target(model: Path, open_files: ExitStack) -> Target:
    return target_of_file(open_files.enter_context(open_model(model)))


def _published(path: Path, found: Verdict) -> Target:
    """The published model that a LoRA is for."""
    name = next((name for name in found.family.split("/") if name in NETWORKS), None)
    if name is None:
        raise Refused(
            f"{path}: is a LoRA for a model of family {escape(found.family)}, whose modules are "
            f"not known by name; there are {', '.join(NETWORKS)}"
        )
    if found.adapter is not None and not found.adapter.possible:
        raise Refused(
            f"{path}: is a LoRA for a model of no published size, so its layers are only known "
            "together with that model (--model)"
        )
    return family_target(name)
