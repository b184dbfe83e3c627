"""LoRAs in a model's weights: attached by rewriting them, detached by reading the file again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self

import torch

from sfumato.engine.model import Model
from sfumato.operations.adapters.deltas.lengths import length
from sfumato.operations.adapters.layering import Layer, add_layer
from sfumato.operations.adapters.uses import Use as Use
from sfumato.operations.adapters.uses import applied, stacks
from sfumato.operations.applied import Applied
from sfumato.operations.into_torch import read_into


class Written(NamedTuple):
    """What a weight holds now."""

    layers: tuple[Layer, ...]
    squares: tuple[float, ...]
    """squared norm of each layer's change"""


UNKNOWN = Written((), ())
"""a weight that is being written: neither the file's nor finished"""


class Patches:
    """The LoRAs attached to one model.

    Use as a context manager to have the file's own weights back at the end.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._written: dict[str, Written] = {}
        """key → what was put there; weights that are as in the file are not listed"""
        self._norms: dict[bool, float] = {}
        """squared norm of all weights of the UNet (True), of the text encoders (False)"""

    def set(self, uses: Sequence[Use]) -> list[Applied]:
        """Have exactly `uses` in the weights, in this order; one report for each.

        Only weights whose layers changed are computed: from the file's own bytes, in float32, cast
        once. Raises UsageError for strengths that are no numbers, Damaged for a LoRA with values
        that are none; on any failure the weights are the file's again.
        """
        found = stacks(uses)
        wanted = found.layers
        changed = [key for key in self._written if key not in wanted]
        changed += [key for key, layers in wanted.items() if self._layers(key) != layers]
        try:
            self._measure({layer.part.role for stack in wanted.values() for layer in stack})
            for key in changed:
                self._write(key, wanted.get(key, ()))
        except BaseException:
            self.clear()
            raise
        return [self._report(use, number, found.owners) for number, use in enumerate(uses)]

    def clear(self) -> None:
        """Have the file's own weights back, bit for bit."""
        for key in list(self._written):
            self._write(key, ())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def _layers(self, key: str) -> tuple[Layer, ...]:
        return self._written.get(key, UNKNOWN).layers

    @torch.no_grad()
    def _write(self, key: str, layers: tuple[Layer, ...]) -> None:
        """Compute one weight anew from the file and what lies over it."""
        weight = self._model.parameter(key)
        if weight is None:
            self._written.pop(key, None)  # the model was closed, or has another network now
            return
        self._written[key] = UNKNOWN
        source, stored = self._model.path, self._model.tensors[key]
        if not layers:
            read_into(weight, stored, source=source)
            del self._written[key]
            return
        own = weight.dtype == torch.float32 and weight.is_contiguous()
        work = weight.detach() if own else torch.empty(weight.shape, device=weight.device)
        read_into(work, stored, source=source)
        squares = tuple(add_layer(work, layer) for layer in layers)
        if not own:
            weight.copy_(work)
        self._written[key] = Written(layers, squares)

    @torch.no_grad()
    def _measure(self, roles: set[str]) -> None:
        """The norms of the networks' own weights, once, before anything in them is changed."""
        for unet in {role == "unet" for role in roles} - self._norms.keys():
            networks = (n for n in self._model.networks if n.role.startswith(("unet", "text")))
            weights = (
                w for n in networks if (n.role == "unet") == unet for w in _weights(n.module)
            )
            self._norms[unet] = sum(float(length(weight)) ** 2 for weight in weights)

    def _report(self, use: Use, number: int, owners: Mapping[str, Sequence[int]]) -> Applied:
        squares = {True: 0.0, False: 0.0}
        for key, written in self._written.items():
            for layer, owner, square in zip(
                written.layers, owners[key], written.squares, strict=True
            ):
                squares[layer.part.role == "unet"] += square if owner == number else 0.0
        return applied(use, squares, self._norms)


def _weights(module: torch.nn.Module) -> Sequence[torch.Tensor]:
    return [weight.detach() for weight in module.parameters()]
