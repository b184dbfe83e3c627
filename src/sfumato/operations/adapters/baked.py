"""A model's tensors with LoRAs added, each computed when its turn to be written comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from sfumato.catalogue.spelling.transforms import (
    PACK,
    TO_CONV,
    TO_LINEAR,
    TRANSPOSE,
    UNPACK,
    Transform,
)
from sfumato.catalogue.spelling.translation import Move
from sfumato.containers.arrays import to_float32
from sfumato.containers.dtype import F32, DType
from sfumato.containers.tensor import CHUNK, Buffer, Tensor
from sfumato.containers.text import escape
from sfumato.errors import Refused
from sfumato.operations.adapters.deltas.lengths import length
from sfumato.operations.adapters.layering import Layer, add_layer
from sfumato.operations.adapters.opened import Opened
from sfumato.operations.adapters.uses import Stacks, Use, applied, stacks
from sfumato.operations.applied import Applied
from sfumato.operations.cast import Losses, cast, castable
from sfumato.operations.into_torch import read_into

BACK: Mapping[Transform | None, Sequence[Transform | None]] = {
    None: (None,),
    TO_CONV: (TO_LINEAR,),
    TO_LINEAR: (TO_CONV,),
    TRANSPOSE: (TRANSPOSE,),
    PACK: UNPACK,
}
"""what was done to a file's tensors for the original spelling → what makes each of them again"""


@dataclass(slots=True)
class Tally:
    """What LoRAs did to a model, noted while its tensors are streamed."""

    uses: Sequence[Use]
    stacks: Stacks
    norms: dict[str, tuple[bool, float]] = field(default_factory=dict[str, tuple[bool, float]])
    """name → whether it is of the UNet, and the squared norm of the weight as it was"""
    squares: dict[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    """key → squared norm of each layer's change"""

    def reports(self) -> list[Applied]:
        """One report for each LoRA; by how much it changes the model once that is known."""
        return [self._report(use, number) for number, use in enumerate(self.uses)]

    def _report(self, use: Use, number: int) -> Applied:
        found, norms = {True: 0.0, False: 0.0}, {True: 0.0, False: 0.0}
        for key, squares in self.squares.items():
            owners, layers = self.stacks.owners[key], self.stacks.layers[key]
            for owner, layer, square in zip(owners, layers, squares, strict=True):
                found[layer.part.role == "unet"] += square if owner == number else 0.0
        for unet, norm in self.norms.values():
            norms[unet] += norm
        report = applied(use, found, norms)
        return report if self.norms else replace(report, change_unet=None, change_text=None)


@dataclass(frozen=True, slots=True)
class Baked:
    """A file's tensors with LoRAs added."""

    tensors: dict[str, Tensor]
    """under the file's own names"""
    changed: frozenset[str]
    """names of those that LoRAs change, the only ones that have another dtype where one is asked"""
    tally: Tally


def bake_loras(
    opened: Opened, uses: Sequence[Use], losses: Losses, *, dtype: DType | None = None
) -> Baked:
    """The tensors of a file with `uses` added in this order. Nothing is read.

    A weight is read when it is, changed in float32 and cast once: to `dtype`, or to the type that
    it had. Raises UsageError for strengths that are no numbers, Refused for weights that are no
    floats; reading raises Damaged for a LoRA with values that are no finite numbers.
    """
    tally = Tally(uses, stacks(uses))
    tensors, changed = dict(opened.stored), set[str]()
    for key, layers in tally.stacks.layers.items():
        move = opened.moves[key]
        whole = _with_layers(opened, key, layers, tally)
        for source, part in zip(move.sources, _parts(whole, move), strict=True):
            own = opened.stored[source]
            if not castable(source, own):
                raise Refused(
                    f"{opened.file.path}: {escape(source)} is stored as {own.dtype}, to which "
                    "nothing can be added"
                )
            tensors[source] = cast(source, part, dtype or own.dtype, losses)
            changed.add(source)
    unet = {layer.part.role == "unet" for stack in tally.stacks.layers.values() for layer in stack}
    for key, move in opened.moves.items():
        role = _role(opened, key)
        if (role == "unet") in unet and role.startswith(("unet", "text")):
            for source in set(move.sources) - changed:
                tensors[source] = _measured(source, tensors[source], tally, role == "unet")
    return Baked(tensors, frozenset(changed), tally)


def _role(opened: Opened, key: str) -> str:
    return next(body.role for body in opened.target.networks if key.startswith(body.prefix))


def _parts(whole: Tensor, move: Move) -> Iterator[Tensor]:
    """The file's own tensors, made again from the one that they make."""
    for transform in BACK[move.transform]:
        yield whole if transform is None else transform.apply([whole])


def _with_layers(opened: Opened, key: str, layers: Sequence[Layer], tally: Tally) -> Tensor:
    """The weight in float32 with the changes of `layers`."""
    stored, path = opened.target.tensors[key], opened.file.path
    unet = layers[0].part.role == "unet"

    @torch.no_grad()
    def compute() -> memoryview:
        weight = torch.empty(stored.shape)
        read_into(weight, stored, source=path)
        tally.norms[key] = unet, float(length(weight)) ** 2
        tally.squares[key] = tuple(add_layer(weight, layer) for layer in layers)
        return weight.numpy().reshape(-1).view(np.uint8).data

    return _computed(stored.shape, compute)


def _computed(shape: tuple[int, ...], compute: Callable[[], memoryview]) -> Tensor:
    def pieces() -> Iterator[Buffer]:
        whole = compute()
        for start in range(0, whole.nbytes, CHUNK):
            yield whole[start : start + CHUNK]

    return Tensor(F32, shape, compute, pieces)


def _measured(name: str, tensor: Tensor, tally: Tally, unet: bool) -> Tensor:
    """The same tensor; its norm is noted while it is streamed."""
    if not castable(name, tensor):
        return tensor

    def pieces() -> Iterator[Buffer]:
        square = 0.0
        for piece in tensor.chunks():
            values = to_float32(piece, tensor.dtype)
            square += float(np.dot(values, values))
            yield piece
        tally.norms[name] = unet, square

    return replace(tensor, pieces=pieces)
