"""Arithmetic that overwrites its first argument wherever no gradient is being recorded."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def add(into: Tensor, other: Tensor) -> Tensor:
    """Sum of both; `into` must be the caller's own and must not be used afterwards."""
    return into + other if torch.is_grad_enabled() else into.add_(other)


def multiply(into: Tensor, other: Tensor) -> Tensor:
    """Product of both; `into` must be the caller's own and must not be used afterwards."""
    return into * other if torch.is_grad_enabled() else into.mul_(other)


def silu(into: Tensor) -> Tensor:
    """x · sigmoid(x); `into` must be the caller's own and must not be used afterwards."""
    return functional.silu(into, inplace=not torch.is_grad_enabled())


class SiLU(nn.Module):
    """`silu` as a layer; what comes before it must not keep its output."""

    def forward(self, x: Tensor) -> Tensor:
        """Overwrite (b, ...) with its activation."""
        return silu(x)
