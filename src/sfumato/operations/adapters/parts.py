"""The tensors of a LoRA sorted by the weight they change, checked against that weight's shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import torch

from sfumato.catalogue.adapters.cloneofsimo import group_numbered
from sfumato.catalogue.adapters.grouping import Change, Grouped, group
from sfumato.catalogue.adapters.peft_config import network_settings, peft_scale
from sfumato.catalogue.spelling.networks import Module
from sfumato.containers.model_file import ModelFile
from sfumato.containers.strict_json import Json
from sfumato.containers.tensor import Tensor
from sfumato.containers.text import escape
from sfumato.operations.adapters.deltas.kinds import BY_NAME, Kind, change
from sfumato.operations.adapters.sites import Site, find, rename_numbered, sites
from sfumato.operations.adapters.target import Target

Shape = tuple[int, ...]

FIRST = "input_blocks.0.0.weight"
"""the convolution whose inputs an inpainting UNet has more of"""

MOST_TERMS = 100.0
"""of a Neumann series; PEFT takes five"""

PROJECTION = ".text_projection"
"""end of the key of OpenCLIP's projection, which is stored the other way round than LoRAs see it"""

EMBEDDING = ".lora_embedding_A"
"""end of the key of a factor of PEFT's, which sees tables of tokens the other way round"""

NOT_OF_THE_WEIGHT = ("diff_b", "w_norm", "b_norm", "up_bias", "reshape")
"""slots that do not enter the change of a module's weight"""

ONE = ("alpha", "scale")
"""slots of one number"""

SPARSE = "bias_"
"""what the slots of a sparse bias begin with; it may well have no number at all"""


@dataclass(frozen=True, slots=True)
class View:
    """Which part of a stored weight a module is."""

    rows: tuple[int, int] | None = None
    """rows of a tensor that packs several modules"""
    inputs: int = 0
    """first inputs of a convolution that takes more; 0 for all"""
    transposed: bool = False

    def of(self, weight: torch.Tensor) -> torch.Tensor:
        """That part, sharing memory with `weight`."""
        part = weight if self.rows is None else weight[self.rows[0] : self.rows[1]]
        part = part[:, : self.inputs] if self.inputs else part
        return part.mT if self.transposed else part


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The change of one weight or bias."""

    key: str
    """of the weight, in the model's file"""
    role: str
    """unet | text_encoder | text_encoder_2"""
    view: View
    kind: Kind
    slots: Mapping[str, str]
    """slot → key in the LoRA's file"""
    tensors: Mapping[str, Tensor]
    """slot → the tensor, not read"""
    constants: Mapping[str, float] = field(default_factory=dict[str, float])
    """slots that the file's settings give: PEFT's scale"""


class Problem(NamedTuple):
    """Tensors that do not apply."""

    reason: str
    example: str
    tensors: int


class Taken(NamedTuple):
    """A LoRA file by modules."""

    changes: Sequence[Change]
    left_over: Sequence[str]
    embeddings: Sequence[str]
    numbered: bool


def take_apart(file: ModelFile) -> Taken:
    """Gather the tensors of a LoRA file by module, in whatever spelling. Nothing is read."""
    found = group_numbered(file.tensors, file.metadata)
    grouped: Grouped = found.grouped if found else group(file.tensors)
    return Taken(grouped.changes, grouped.left_over, grouped.embeddings, found is not None)


def place_all(
    taken: Taken, target: Target, file: ModelFile
) -> tuple[tuple[Part, ...], tuple[Problem, ...]]:
    """The weights of `target` that the changes are of, and what has no place there."""
    among = sites(target)
    changes = rename_numbered(taken.changes, among) if taken.numbered else taken.changes
    parts: list[Part] = []
    problems = [Problem("no part of a change that is known", escape(k), 1) for k in taken.left_over]
    for one in changes:
        found = find(one, among)
        if found is None:
            missing = "there is no such module in this model"
            problems.append(Problem(missing, escape(one.name), len(one.slots)))
            continue
        for checked in (_checked(part, target) for part in _parts(one, *found, file)):
            parts += [checked] if isinstance(checked, Part) else []
            problems += [checked] if isinstance(checked, Problem) else []
    return tuple(parts), tuple(problems)


def loose_parts(taken: Taken, file: ModelFile) -> tuple[tuple[Change, Part], ...]:
    """Every change by the name that the file has for its module, for want of a model."""
    found: list[tuple[Change, Part]] = []
    for one in taken.changes:
        path = one.flat if "_" in one.name and "." not in one.name else one.name
        module = Module(one.name, path, (), f"{one.name}.weight")
        site = Site(one.target or "unet", "", (module,), {})
        found += [(one, part) for part in _parts(one, site, module, file)]
    return tuple(found)


def _parts(one: Change, site: Site, module: Module, file: ModelFile) -> Iterator[Part]:
    """What one module's tensors change: its weight, its bias, or both."""
    key = site.prefix + module.weight
    told = network_settings(file.metadata, one.target or site.role)
    constants = _constants(one, module, told)
    embedding = one.slots.get("down", "").endswith(EMBEDDING)
    view = View(module.rows, transposed=key.endswith(PROJECTION) or embedding)
    if slots := _weight_slots(one):
        kind = BY_NAME["full" if one.flavour == "norm" else one.flavour]
        yield Part(key, site.role, view, kind, slots, _tensors(slots, file), constants)
    bias = key.removesuffix("weight") + "bias"
    for name, slots in _bias_slots(one):
        view, kind = View(module.rows), BY_NAME[name]
        yield Part(bias, site.role, view, kind, slots, _tensors(slots, file), constants)


def _weight_slots(one: Change) -> dict[str, str]:
    """The tensors that change the module's weight, with their keys; empty where none does."""
    if "w_norm" in one.slots:
        return {"diff": one.slots["w_norm"]}
    own = {slot: key for slot, key in one.slots.items() if slot not in NOT_OF_THE_WEIGHT}
    return own if own.keys() - {"alpha", "scale", "rescale"} else {}


def _bias_slots(one: Change) -> Iterator[tuple[str, dict[str, str]]]:
    """Kind and tensors of each change of the module's bias."""
    for slot in ("diff_b", "b_norm"):
        if slot in one.slots:
            yield "full", {"diff": one.slots[slot]}
    if "up_bias" in one.slots:
        scaled = {s: one.slots[s] for s in ("alpha", "scale", "down") if s in one.slots}
        yield "lora-bias", {"diff": one.slots["up_bias"], **scaled}
    if one.flavour == "ia3-peft":
        yield "ia3-peft", {"factor": one.slots["factor"]}


def _tensors(slots: Mapping[str, str], file: ModelFile) -> dict[str, Tensor]:
    tensors = {slot: file[name] for slot, name in slots.items()}
    for slot, name in slots.items():
        if "lora_magnitude_vector" in name:  # PEFT's is of rows, whatever its shape
            tensors[slot] = replace(tensors[slot], shape=(tensors[slot].size,))
    return tensors


def _constants(one: Change, module: Module, told: Mapping[str, Json]) -> dict[str, float]:
    """What PEFT's settings say that the tensors do not."""
    if one.flavour == "oft-peft":
        terms = told.get("num_cayley_neumann_terms", 5)
        exact = told.get("use_cayley_neumann") is False
        return {
            "terms": 0.0 if exact or not isinstance(terms, int) else min(float(terms), MOST_TERMS)
        }
    if "alpha" in one.slots or "scale" in one.slots or not told:
        return {}
    scale = peft_scale(told, module.diffusers, one.measure.rank)
    return {} if scale is None else {"scale": scale}


def _checked(part: Part, target: Target) -> Part | Problem | None:
    """The part if it fits its weight, or the first inputs of it; else why not.

    None where nothing is missed: PEFT's IA3 scales the bias of outputs, if there is one.
    """
    shape = target.shape(part.key)
    count, example = len(part.slots), escape(next(iter(part.slots.values())))
    if shape is None:
        silent = part.kind.name == "ia3-peft"
        reason = "its module has no such weight in this model"
        return None if silent else Problem(reason, example, count)
    shapes = tuple(sorted((slot, tensor.shape) for slot, tensor in part.tensors.items()))
    sizes = ", ".join(f"{slot} {list(shape)}" for slot, shape in shapes if shape or slot not in ONE)
    if any(0 in shape for slot, shape in shapes if not slot.startswith(SPARSE)):
        return Problem("rank 0, tensors without a number", f"{example}: {sizes}", count)
    expected: Shape = tuple(part.view.of(torch.empty(shape, device="meta")).shape)
    if part.kind.name == "ia3-peft" and len(expected) == 1 and part.tensors["factor"].shape[0] == 1:
        return None  # factors of inputs leave the bias alone
    if fits(part.kind.name, shapes, expected):
        return part
    narrow = (*expected[:1], 4, *expected[2:])
    more = part.key.endswith(FIRST) and expected > narrow
    if more and fits(part.kind.name, shapes, narrow):
        return replace(part, view=View(inputs=4))
    reason = f"the sizes do not fit a weight of {list(expected)}"
    return Problem(reason, f"{example}: {sizes}", count)


@lru_cache(maxsize=4096)
def fits(kind: str, shapes: tuple[tuple[str, Shape], ...], expected: Shape) -> bool:
    """True where tensors of these shapes change a weight of the expected one.

    The change is computed without numbers, on torch's meta device, so that shapes have one law.
    """
    slots = {
        slot: torch.empty(shape, device="meta")
        for slot, shape in shapes
        if not slot.startswith(SPARSE)
    }
    if any(slots[name].numel() != 1 for name in ONE if name in slots):
        return False
    try:
        found = change(BY_NAME[kind], slots, torch.empty(expected, device="meta"))
    except (RuntimeError, IndexError, KeyError, ValueError):
        return False
    return tuple(found.shape) == expected
