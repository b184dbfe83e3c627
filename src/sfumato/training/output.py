"""The files that a run leaves: tensors in the precision asked for, and the run beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from sfumato.containers.save_file import save_file
from sfumato.errors import UsageError
from sfumato.training.settings import Run
from sfumato.training.torch_tensors import all_from_torch
from sfumato.training.trainee import Trained

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def cast_for(state: Mapping[str, torch.Tensor], dtype: str) -> dict[str, torch.Tensor]:
    """Floating-point weights in the precision that a file is to have."""
    target = DTYPES.get(dtype)
    if target is None:
        raise UsageError(f"save.dtype is one of {', '.join(DTYPES)}, not {dtype!r}")
    return {n: w.to(target) if w.is_floating_point() else w for n, w in state.items()}


def write_tensors(
    path: Path,
    state: Mapping[str, torch.Tensor],
    trained: Trained,
    run: Run,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a file with the run's configuration in its metadata; an older one is replaced."""
    facts = {**trained.facts, "sfumato.steps": str(trained.step), **(metadata or {})}
    save_file(path, all_from_torch(state), facts, force=True)
    return path
