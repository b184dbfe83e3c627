"""The editions of a trained checkpoint: which of its weights a file holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from sfumato.catalogue.averaged import COUNTERS, averaged_name
from sfumato.containers.tensor import Tensor
from sfumato.engine.model import Model
from sfumato.engine.networks.clip import CLIPText
from sfumato.training.kinds.schedule_tables import schedule_tables
from sfumato.training.output import cast_for
from sfumato.training.torch_tensors import all_from_torch
from sfumato.training.trainee import Trained

INNER = "model."
"""what the training module calls the network whose average it keeps"""


@dataclass(frozen=True, slots=True)
class Whole:
    """All that editions are made from."""

    model: Model
    trained: Trained
    dtype: str
    """of floating-point weights in the file"""


@dataclass(frozen=True, slots=True)
class Edition:
    """One way to write a trained checkpoint."""

    name: str
    tensors: Callable[[Whole], dict[str, Tensor]]
    suffix: str = ""
    """of its file, in place of the output's; empty keeps that"""
    dtype: str = ""
    """empty takes the run's"""


def _single(whole: Whole) -> dict[str, Tensor]:
    """One set of weights, the averaged one where there is an average."""
    return _complete(whole, whole.trained.average or whole.trained.weights)


def _live(whole: Whole) -> dict[str, Tensor]:
    """One set of weights, as they were last."""
    return _complete(whole, whole.trained.weights)


def _both(whole: Whole) -> dict[str, Tensor]:
    """Live weights and, under the original trainer's names, their averages."""
    return _live(whole) | _averages(whole)


def _state(whole: Whole) -> dict[str, Tensor]:
    """The same with the tables of the noise schedule, as the original trainer saves a model."""
    # Of a schedule that was rescaled the marker `ztsnr` tells; its tables would mislead A1111.
    tables = {} if whole.model.zero_snr else schedule_tables()
    return all_from_torch(tables) | _both(whole)


def _complete(whole: Whole, weights: Mapping[str, torch.Tensor]) -> dict[str, Tensor]:
    """Every tensor of the checkpoint, with `weights` in the place of those it has."""
    model = whole.model
    made: dict[str, torch.Tensor] = {}
    for network in model.networks:
        for name, weight in network.module.state_dict().items():
            made[network.prefix + name] = weight.detach()
        if isinstance(network.module, CLIPText):
            ids = torch.arange(network.module.sizes.positions)[None]
            made[f"{network.prefix}text_model.embeddings.position_ids"] = ids
    made |= {name: weight.detach() for name, weight in weights.items()}
    return all_from_torch(cast_for(made, whole.dtype) | _markers(model))


def _markers(model: Model) -> dict[str, torch.Tensor]:
    """Empty tensors by which ComfyUI and others know what a UNet predicts."""
    marks = {"v_pred": model.prediction == "v", "ztsnr": model.zero_snr}
    return {name: torch.zeros(0) for name, there in marks.items() if there}


def _averages(whole: Whole) -> dict[str, Tensor]:
    """As LitEma names them (ldm/modules/ema.py); a text encoder's, which it has not, likewise."""
    trained = whole.trained
    if not trained.average:
        return {}
    named = {averaged_name("", name.removeprefix(INNER)): w for name, w in trained.average.items()}
    decay, updates = COUNTERS
    counters = {
        decay: torch.tensor(trained.average_decay, dtype=torch.float32),
        updates: torch.tensor(trained.average_updates, dtype=torch.int32),
    }
    return all_from_torch(cast_for(named, whole.dtype) | counters)


EDITIONS: tuple[Edition, ...] = (
    Edition("ema", _single),
    Edition("live", _live),
    Edition("pruned", _both),
    Edition("state", _state, ".ckpt", "f32"),
)
"""every edition: averaged weights alone, live ones alone, both, and the whole training state"""

BY_NAME: dict[str, Edition] = {edition.name: edition for edition in EDITIONS}
