"""Two models side by side as a LoRA between them would see it: layer by layer, what has moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from sfumato.catalogue.adapters.lora_names import scope
from sfumato.catalogue.families import TITLES
from sfumato.catalogue.spelling.networks import Module
from sfumato.containers import tensor as stored
from sfumato.containers.dtype import F16
from sfumato.containers.text import escape
from sfumato.errors import Damaged, Refused
from sfumato.operations.adapters.parts import FIRST, PROJECTION, View
from sfumato.operations.adapters.sites import Site, sites
from sfumato.operations.adapters.target import Target
from sfumato.operations.into_torch import TORCH, read_into
from sfumato.operations.lora.factor import squared

SCOPES: Mapping[str, tuple[str, ...]] = {
    "attention": ("attention",),
    "convolution": ("attention", "convolution"),
    "everything": ("attention", "convolution", "outer"),
}
"""what is asked for → the catalogue's groups of modules: LoRA, LoCon, and all there is"""

EMBEDDINGS = ("embedding", "text_projection")
"""parts of the names of a text encoder's weights that no program expects a LoRA of"""


NOUNS: Mapping[str, str] = {
    "unet": "UNet", "text_encoder": "text encoder", "text_encoder_2": "second text encoder",
}  # fmt: skip
"""role → what a person calls it"""


class Moved(NamedTuple):
    """How far a weight is from what it was."""

    square: float
    """‖ΔW‖²"""
    whole: float
    """‖W‖² before"""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A weight or a bias before and after."""

    role: str
    module: Module
    key: str
    view: View
    shape: tuple[int, ...]
    """as an adapter sees it"""
    slot: str
    """"" for a matrix, else the slot of a vector's difference: w_norm, b_norm, diff_b"""
    tuned: stored.Tensor
    base: stored.Tensor
    reached: bool
    """True where the LoRA is to hold it"""

    @property
    def name(self) -> str:
        """As a person reads it."""
        return f"{self.role}.{self.module.diffusers}"

    @property
    def nbytes(self) -> int:
        """Bytes that are read for it."""
        return self.tuned.nbytes + self.base.nbytes

    def change(self) -> Tensor:
        """W after − W before, in float32; zeros where only rounding tells them apart.

        Raises Damaged for numbers that are not finite.
        """
        return self.measure()[0]

    def measure(self) -> tuple[Tensor, Moved]:
        """The change and how large it is, reading each of both once."""
        after, before = self._read(self.tuned), self._read(self.base)
        whole = squared(before)
        if rounded_alike(after, before, self.tuned, self.base):
            return after.zero_(), Moved(0.0, whole)
        change = after.sub_(before)
        if not torch.isfinite(change).all():
            raise Damaged(escape(self.key, 100), "is not finite in one of the two models")
        return change, Moved(squared(change), whole)

    def _read(self, tensor: stored.Tensor) -> Tensor:
        whole = torch.empty(tensor.shape)
        read_into(whole, tensor, source=escape(self.key, 100))
        return self.view.of(whole)


def rounded_alike(after: Tensor, before: Tensor, tuned: stored.Tensor, base: stored.Tensor) -> bool:
    """True where both are the same numbers in the narrower of the types that they are stored in.

    A copy saved in half precision is no fine-tuned model, though its numbers are others.
    """
    if tuned.dtype == base.dtype:
        return bool(torch.equal(after, before))
    narrow = min(tuned.dtype, base.dtype, key=lambda dtype: (dtype.bits, dtype is F16))
    kind = TORCH[narrow]
    return bool(torch.equal(after.to(kind), before.to(kind)))


def pairs(tuned: Target, base: Target, wanted: str) -> list[Pair]:
    """Every weight and bias that both models have in the networks that LoRAs change.

    wanted: a name of SCOPES. Raises Refused where the models are not of one family and one size.
    """
    _same_family(tuned, base)
    return list(_pairs(tuned, base, wanted))


def _pairs(tuned: Target, base: Target, wanted: str) -> Iterator[Pair]:
    for site in sites(base):
        unused = _unused(site, base.family)
        for module in site.modules:
            key = site.prefix + module.weight
            view = View(module.rows, transposed=key.endswith(PROJECTION))
            vector = len(module.shape) < 2
            reached = _is_reached(site.role, module, wanted) and unused not in module.diffusers
            slot = "w_norm" if vector else ""
            yield from _pair(site.role, module, (key, view, slot, reached), tuned, base)
            bias = key.removesuffix("weight") + "bias"
            slot, reached = ("b_norm" if vector else "diff_b"), wanted == "everything" and reached
            yield from _pair(site.role, module, (bias, replace(view), slot, reached), tuned, base)


def _unused(site: Site, family: str) -> str:
    """Part of the path of the layer that SD2 never comes to, and that its programs do not have."""
    if family != "sd2" or site.role == "unet":
        return "\n"
    last = max(int(part) for module in site.modules for part in module.diffusers.split(".")
               if part.isdigit())  # fmt: skip
    return f".layers.{last}."


def alone(tuned: Target, base: Target) -> Iterator[str]:
    """Networks that only one of two models has, one sentence each."""
    for one, other in ((tuned, base), (base, tuned)):
        there = {body.role for body in other.networks}
        for body in one.networks:
            if body.role in NOUNS and body.role not in there:
                yield f"the {NOUNS[body.role]} is in {one.path.name} only, so nothing is told of it"


def _is_reached(role: str, module: Module, wanted: str) -> bool:
    if role != "unet" and any(part in module.diffusers for part in EMBEDDINGS):
        return False
    if len(module.shape) < 2:
        return wanted == "everything"
    return scope(module) in SCOPES[wanted]


def _pair(
    role: str,
    module: Module,
    what: tuple[str, View, str, bool],
    tuned: Target,
    base: Target,
) -> Iterator[Pair]:
    key, view, slot, reached = what
    after, before = tuned.tensors.get(key), base.tensors.get(key)
    if after is None or before is None:
        return
    if after.shape != before.shape:
        if key.endswith(FIRST):
            return  # an inpainting UNet takes more: no LoRA changes the number of inputs
        raise Refused(
            f"{tuned.path}: {escape(key, 100)} is {list(after.shape)} and was "
            f"{list(before.shape)} in {base.path}: one of them is no fine-tuning of the other"
        )
    shape = tuple(view.of(torch.empty(before.shape, device="meta")).shape)
    yield Pair(role, module, key, view, shape, slot, after, before, reached)


def _same_family(tuned: Target, base: Target) -> None:
    if tuned.family != base.family:
        one, two = (TITLES.get(model.family, model.family) for model in (tuned, base))
        raise Refused(
            f"{tuned.path} is {one} and {base.path} is {two}: no LoRA lies between two families"
        )
