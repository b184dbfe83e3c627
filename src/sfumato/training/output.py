"""The files that a run leaves: tensors in the precision asked for, and the run beside them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import torch

from sfumato.containers.save_file import save_file
from sfumato.containers.text import escape
from sfumato.engine.model import Model
from sfumato.errors import UsageError
from sfumato.training.settings import Run, word_of
from sfumato.training.torch_tensors import all_from_torch
from sfumato.training.trainee import Trained

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}

ARCHITECTURES: Mapping[tuple[str, str], str] = {
    ("sd1", "epsilon"): "stable-diffusion-v1",
    ("sd1", "v"): "stable-diffusion-v1",
    ("sd2", "epsilon"): "stable-diffusion-v2-512",
    ("sd2", "v"): "stable-diffusion-v2-768-v",
    ("sdxl", "epsilon"): "stable-diffusion-xl-v1-base",
    ("sdxl", "v"): "stable-diffusion-xl-v1-base",
    ("sdxl-refiner", "epsilon"): "stable-diffusion-xl-v1-refiner",
}
"""family, prediction → what modelspec calls them"""


def check_suffix(run: Run, allowed: tuple[str, ...]) -> None:
    """Raise UsageError where the output's name does not end as its readers expect."""
    if Path(run.output).suffix.lower() not in allowed:
        raise UsageError(
            f"output: the file of this kind ends in {' or '.join(allowed)}, not "
            f"{escape(Path(run.output).name, 60)}"
        )


def cast_for(state: Mapping[str, torch.Tensor], dtype: str) -> dict[str, torch.Tensor]:
    """Floating-point weights in the precision that a file is to have."""
    target = DTYPES.get(dtype)
    if target is None:
        raise UsageError(f"save.dtype is one of {', '.join(DTYPES)}, not {dtype!r}")
    return {n: w.to(target) if w.is_floating_point() else w for n, w in state.items()}


def facts_of(trained: Trained, said: Mapping[str, str] | None = None) -> dict[str, str]:
    """Text for the header of any output: the run, how far it went, and what is `said` besides."""
    return {**trained.facts, "sfumato.steps": str(trained.step), **(said or {})}


def modelspec(run: Run, model: Model, name: str, sort: str, resolution: int) -> dict[str, str]:
    """What an output is, in the terms of ModelSpec 1.0.1.

    name: of the file. sort: "lora", "textual-inversion", "vae"; empty for a checkpoint.
    """
    architecture = ARCHITECTURES.get((model.family, model.prediction), model.family)
    spec = {
        "sai_model_spec": "1.0.1",
        "architecture": f"{architecture}/{sort}" if sort else architecture,
        "implementation": "https://github.com/CompVis/stable-diffusion",
        "title": run.title or name,
        "resolution": f"{resolution}x{resolution}",
        "date": datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z"),
        "prediction_type": model.prediction,
    }
    if word_of(run):
        spec["trigger_phrase"] = word_of(run)
    return {f"modelspec.{key}": value for key, value in spec.items()}


def signed(run: Run) -> dict[str, str]:
    """Who made an output and on what terms it may be used, in ModelSpec's words."""
    said = {"modelspec.author": run.author, "modelspec.license": run.license}
    return {key: text for key, text in said.items() if text}


def write_tensors(
    path: Path,
    state: Mapping[str, torch.Tensor],
    trained: Trained,
    run: Run,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a file with the run's configuration in its metadata; an older one is replaced."""
    save_file(path, all_from_torch(state), facts_of(trained, metadata), force=True)
    return path
