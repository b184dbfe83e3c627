"""From a run's configuration to something that the loop can train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from sfumato.containers.save_file import writer_for
from sfumato.engine.autoencoding.load import load_vae, use_vae
from sfumato.engine.loading.load import load
from sfumato.engine.model import Model
from sfumato.errors import UsageError
from sfumato.training.bounds import check_bounds
from sfumato.training.kinds.part import Part
from sfumato.training.precision import check_precision
from sfumato.training.recompute import recompute
from sfumato.training.settings import Run
from sfumato.training.start import write_start
from sfumato.training.state import run_folder
from sfumato.training.trainee import Trainee

Resolve = Callable[[str, str], Path]
"""kind and name of a file → where it is"""


def _as_path(_kind: str, name: str) -> Path:
    return Path(name)


def prepare(
    run: Run, *, device: torch.device | None = None, resolve: Resolve = _as_path
) -> Trainee:
    """The model and the pictures of a run, loaded and checked.

    resolve: kind ("checkpoint", "vae") and name → the file that is meant; an autoencoder may be
    taken out of a checkpoint too.
    Raises UsageError for a run that makes no sense, and what reading models and pictures raises.
    """
    check_bounds(run, "the configuration")
    writer_for(run.output)
    where = device or torch.device("cpu")
    check_precision(run.precision, where)
    base = _base(run, resolve)
    if run.kind == "vae":
        from sfumato.training.kinds.vae import VaeTrainee

        trainee = VaeTrainee(run, base, where)
        if run.checkpointing:
            recompute(trainee.network)
        return trainee
    from sfumato.training.kinds.diffusion import DiffusionTrainee

    model = load(base, device=where, dtype="f32", vae_dtype="f32", weights=run.base.weights)
    if run.base.vae:
        use_vae(model, load_vae(resolve("vae", run.base.vae), model))
    if not any(network.role == "vae" for network in model.networks):
        raise UsageError(f"{base} has no VAE, and pictures must become latents: give base.vae")
    trainee = DiffusionTrainee(run, model, _part(run, model))
    for network in model.networks if run.checkpointing else ():
        recompute(network.module)
    return trainee


def _part(run: Run, model: Model) -> Part:
    if run.kind == "checkpoint":
        from sfumato.training.kinds.checkpoint import CheckpointPart

        return CheckpointPart(run, model)
    if run.kind == "lora":
        from sfumato.training.kinds.lora import LoraPart

        return LoraPart(run, model)
    if run.kind == "embedding":
        from sfumato.training.kinds.embedding import EmbeddingPart

        return EmbeddingPart(run, model)
    from sfumato.training.kinds.hypernetwork import HypernetworkPart

    return HypernetworkPart(run, model)


def _base(run: Run, resolve: Resolve) -> Path:
    """The file that training starts from; a run from scratch writes it first."""
    if run.base.file:
        return resolve("vae" if run.kind == "vae" else "checkpoint", run.base.file)
    if run.scratch is None:
        raise UsageError("say which model to start from: base.file, or [scratch] for none")
    folder = run_folder(run.output)
    path = folder / "start.safetensors"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_start(run, run.scratch, path)
    return path
