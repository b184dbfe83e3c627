"""The proof that a LoRA says what another one said: every change is computed from both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import torch

from sfumato.containers.dtype import BF16, F8_E4M3, F8_E5M2, F16, F32, F64, DType
from sfumato.containers.model_file import SAFETENSORS, ModelFile
from sfumato.containers.tensor import Tensors
from sfumato.containers.text import escape
from sfumato.errors import Unverified
from sfumato.operations.adapters.deltas.factored import Slots
from sfumato.operations.adapters.deltas.kinds import scale
from sfumato.operations.adapters.lora import read_lora
from sfumato.operations.adapters.target import Target
from sfumato.operations.lora.crew import each
from sfumato.operations.lora.factor import difference, squared
from sfumato.operations.lora.layers import Layer, Place, layers

ROUNDING: Mapping[DType, float] = {
    F64: 2.0**-20, F32: 2.0**-20, F16: 2.0**-10, BF16: 2.0**-7, F8_E4M3: 2.0**-3, F8_E5M2: 2.0**-2,
}  # fmt: skip
"""what two factors rounded to a type may differ by, relative to the change that they make"""


@dataclass(frozen=True, slots=True)
class Proof:
    """How far the changes of two LoRAs are apart."""

    layers: int
    distance: float
    """‖ΔW₁ − ΔW₂‖ / ‖ΔW₁‖ over all layers together"""
    furthest: str
    """the layer that is furthest apart"""
    furthest_distance: float


def reread(
    tensors: Tensors, metadata: Mapping[str, str], like: Layer, target: Target
) -> list[Layer]:
    """The layers of a file that is not written yet, by the same way as of any file."""
    file = ModelFile(like.lora.path, SAFETENSORS, tensors, 0, metadata)
    return layers(read_lora(file, target), target)


def compare(before: Sequence[Layer], after: Sequence[Layer]) -> Proof:
    """Recompute every change. Raises Unverified where one of `before` is not in the other file."""
    found = {layer.place: layer for layer in after}
    missing = next((layer for layer in before if layer.place not in found), None)
    if missing is not None:
        raise Unverified(f"{escape(missing.name, 100)}: is not in the LoRA made of it, read back")
    return _proof(before, found)


def _proof(before: Sequence[Layer], found: Mapping[Place, Layer]) -> Proof:
    apart = whole = worst = 0.0
    furthest = ""
    squares = each(lambda layer: distance(layer, found[layer.place]), before)
    for layer, (one, all_of_it) in zip(before, squares, strict=True):
        apart, whole = apart + one, whole + all_of_it
        relative = sqrt(one / all_of_it) if all_of_it else float(one > 0)
        if relative >= worst:
            furthest, worst = layer.name, relative
    return Proof(len(before), sqrt(apart / whole) if whole else float(apart > 0), furthest, worst)


def distance(before: Layer, after: Layer) -> tuple[float, float]:
    """‖ΔW₁ − ΔW₂‖² and ‖ΔW₁‖² of one layer; of the tensors' own numbers where W decides on ΔW."""
    if before.is_plain and after.is_plain:
        return difference(before.pair(), after.pair())
    if before.is_bent:
        return _slots_apart(before, after)
    one, two = before.change(), after.change()
    whole = squared(one)
    return squared(one.sub_(two)), whole


def _slots_apart(before: Layer, after: Layer) -> tuple[float, float]:
    """The same for a change that only a weight makes a matrix of: scale, magnitude, all tensors."""
    one, two = before.read(), after.read()
    pairs = [(_scales(before, one), _scales(after, two))]
    if before.part.kind.free is not None:
        pairs += [(before.change(), after.change())]
    names = {"magnitude"} if before.part.kind.free is not None else one.keys() - {"alpha", "scale"}
    if not names <= two.keys():
        raise Unverified(f"{escape(before.name, 100)}: has other tensors in the LoRA made of it")
    pairs += [(one[name], two[name]) for name in names]
    apart = sum(squared(a.flatten() - b.flatten()) for a, b in pairs)
    return apart, sum(squared(a) for a, _ in pairs)


def _scales(layer: Layer, slots: Slots) -> torch.Tensor:
    """The scale, where it is not in the change that is compared anyway."""
    bound = layer.part.kind.free is None
    own = slots.get("alpha", torch.zeros(())) if bound else torch.zeros(())
    return torch.stack((own, torch.tensor(scale(layer.part.kind, slots) if bound else 0.0)))


def check(proof: Proof, dtypes: Sequence[DType]) -> None:
    """Raise Unverified where more is lost than rounding to the coarsest of `dtypes` loses."""
    allowed = max((ROUNDING.get(dtype, 0.0) for dtype in dtypes), default=ROUNDING[F32])
    if proof.distance > allowed:
        raise Unverified(
            f"{escape(proof.furthest, 100)}: its change differs by {proof.furthest_distance:.2%} "
            "after translation; nothing was written"
        )
