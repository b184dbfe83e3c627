"""LoRAs in a model's weights: attached by rewriting them, detached by reading the file again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from types import TracebackType
from typing import NamedTuple, Self

import torch

from sfumato.containers.text import escape
from sfumato.engine.applied import Applied
from sfumato.engine.model import Model
from sfumato.errors import UsageError
from sfumato.operations.adapters.deltas.lengths import length
from sfumato.operations.adapters.layering import Layer, add_layer
from sfumato.operations.adapters.lora import Lora
from sfumato.operations.adapters.parts import Part
from sfumato.operations.into_torch import read_into


@dataclass(frozen=True, slots=True)
class Use:
    """A LoRA at the strengths that it is used with."""

    lora: Lora
    te: float = 1.0
    """of what it changes in text encoders"""
    unet: float | None = None
    """of what it changes in the UNet; `te` where None"""
    dyn: int = 0
    """only the first ranks of plain LoRA; 0 for all"""

    def strength(self, part: Part) -> float:
        """What the change of one weight is multiplied by."""
        return self.te if part.role != "unet" or self.unet is None else self.unet


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
        for use in uses:
            if not all(isfinite(number) for number in (use.te, use.unet or 0.0)) or use.dyn < 0:
                raise UsageError(f"{escape(use.lora.name)}: strengths must be finite numbers")
        wanted, owners = _stacks(uses)
        changed = [key for key in self._written if key not in wanted]
        changed += [key for key, layers in wanted.items() if self._layers(key) != layers]
        try:
            self._measure({layer.part.role for stack in wanted.values() for layer in stack})
            for key in changed:
                self._write(key, wanted.get(key, ()))
        except BaseException:
            self.clear()
            raise
        return [self._report(use, number, owners) for number, use in enumerate(uses)]

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

    def _report(self, use: Use, number: int, owners: dict[str, list[int]]) -> Applied:
        squares = {True: 0.0, False: 0.0}
        for key, written in self._written.items():
            for layer, owner, square in zip(
                written.layers, owners[key], written.squares, strict=True
            ):
                squares[layer.part.role == "unet"] += square if owner == number else 0.0
        touched = {part.role == "unet" for part in use.lora.parts}

        def change(unet: bool) -> float | None:
            if unet not in touched or not squares[unet]:
                return 0.0 if unet in touched else None
            norm = self._norms[unet]
            return sqrt(squares[unet] / norm) if norm else None

        return Applied(
            "lora",
            use.lora.name,
            str(use.lora.path),
            use.lora.applied,
            use.lora.total,
            change(True),
            change(False),
            use.lora.notes,
            use.te if use.unet is None else use.unet,
            use.te,
        )


def _weights(module: torch.nn.Module) -> Sequence[torch.Tensor]:
    return [weight.detach() for weight in module.parameters()]


def _stacks(uses: Sequence[Use]) -> tuple[dict[str, tuple[Layer, ...]], dict[str, list[int]]]:
    """Key → the layers over that weight, and the places in `uses` where they come from."""
    stacks: dict[str, list[Layer]] = {}
    owners: dict[str, list[int]] = {}
    for number, use in enumerate(uses):
        for part in use.lora.parts:
            if strength := use.strength(part):
                dyn = use.dyn if part.kind.name in ("lora", "locon") else 0
                stacks.setdefault(part.key, []).append(Layer(use.lora, part, strength, dyn))
                owners.setdefault(part.key, []).append(number)
    return {key: tuple(layers) for key, layers in stacks.items()}, owners
