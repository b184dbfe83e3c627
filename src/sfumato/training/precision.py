"""The precision in which a run computes, while its weights and its optimiser stay in float32."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor

from sfumato.errors import UsageError
from sfumato.training.settings import Precision

DTYPES: Mapping[str, torch.dtype] = {"bf16": torch.bfloat16, "f16": torch.float16}
"""every precision but f32, in which nothing is converted"""

LEAST = 1.0
"""factor of the loss at which a gradient that is still too large is a fault"""


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raises UsageError where `device` cannot train in `precision`."""
    if precision == "f16" and device.type != "cuda":
        raise UsageError(f"precision f16 takes a CUDA device; on {device.type} take f32 or bf16")
    emulated = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and emulated:
        raise UsageError(f"{device} does not compute in bf16: take precision f16 or f32")


def computing(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """A block whose products and convolutions are computed in `precision`, its sums in float32."""
    dtype = DTYPES.get(precision)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def in_float32(device: torch.device) -> AbstractContextManager[object]:
    """A block within `computing` that is computed as exactly as its weights are kept."""
    return torch.autocast(device.type, enabled=False)


class Scaling:
    """A factor on the loss that keeps small gradients within float16's range; mostly there is none.

    It is halved when a gradient is too large, and that step moves nothing; it is doubled after 2000
    steps without one (Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740).
    """

    def __init__(self, scaler: torch.amp.GradScaler | None) -> None:
        self._scaler = scaler

    @property
    def factor(self) -> float:
        """What the loss is multiplied by."""
        return 1.0 if self._scaler is None else self._scaler.get_scale()

    @property
    def forgives(self) -> bool:
        """True where a gradient that is no number only means that the factor is too large."""
        return self._scaler is not None and self.factor > LEAST

    def up(self, loss: Tensor) -> Tensor:
        """The loss () from which gradients are taken."""
        return loss if self._scaler is None else self._scaler.scale(loss)

    def down(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the gradients by the factor again."""
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Move the weights; False where a gradient was too large, and none has moved."""
        if self._scaler is None:
            optimizer.step()
            return True
        before = self.factor
        self._scaler.step(optimizer)
        self._scaler.update()
        return self.factor >= before

    def state(self) -> dict[str, float]:
        """What must be kept to go on exactly; empty where there is no factor."""
        return {} if self._scaler is None else cast("dict[str, float]", self._scaler.state_dict())

    def restore(self, state: Mapping[str, float]) -> None:
        """Put back what `state` gave; a run that had no factor before begins with the usual one."""
        if self._scaler is not None and state:
            self._scaler.load_state_dict(dict(state))


def scaling(precision: Precision, device: torch.device) -> Scaling:
    """The factor that a run in `precision` needs."""
    return Scaling(torch.amp.GradScaler(device.type) if precision == "f16" else None)
