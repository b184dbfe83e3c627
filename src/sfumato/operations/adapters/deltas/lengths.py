"""The Frobenius norm, in one place because torch leaves its type open."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def length(values: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """Frobenius norm in float32: of everything as (), or over `axes`, which stay with size 1."""
    found: Tensor = torch.linalg.vector_norm(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        values, dim=axes, keepdim=axes is not None, dtype=torch.float32
    )
    return found  # pyright: ignore[reportUnknownVariableType]
