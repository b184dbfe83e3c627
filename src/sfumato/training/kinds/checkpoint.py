"""Training a whole checkpoint: its UNet, and its text encoder where that has a rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import Parameter

from sfumato.catalogue.averaged import COUNTERS, averaged_name
from sfumato.containers.model_file import Key, Tree
from sfumato.containers.save_file import save_file
from sfumato.containers.tensor import Tensor
from sfumato.engine.model import Model
from sfumato.engine.prompt.chunks import EmbeddingTable
from sfumato.errors import UsageError
from sfumato.library.find import Shelf
from sfumato.training.output import cast_for
from sfumato.training.settings import Run
from sfumato.training.torch_tensors import all_from_torch, from_torch
from sfumato.training.trainee import Group, Trained

INNER = "model."
"""what the training module calls the network whose average it keeps"""

FLAT = ("embedding", "norm", "ln_")
"""parts of names of weights that are not pulled towards zero, beside all vectors"""


@dataclass(frozen=True, slots=True)
class Edition:
    """One way to write a trained checkpoint."""

    name: str
    suffix: str
    """of its file, in place of the output's; empty keeps that"""
    tensors: Callable[[CheckpointPart, Trained], dict[str, Tensor]]


class CheckpointPart:
    """Every weight of the UNet, and of the text encoders where they learn too."""

    embeddings: EmbeddingTable | None = None

    def __init__(self, run: Run, model: Model) -> None:
        self.run = run
        self.model = model
        self.learns_text = run.optimizer.text_rate > 0
        for network in model.networks:
            learns = network.role == "unet" or (self.learns_text and network.role != "vae")
            network.module.requires_grad_(learns)
        count = sum(p.numel() for group in self.groups() for p in group.parameters.values())
        whose = "UNet and text encoder" if self.learns_text else "UNet"
        self.note = f"{count / 1e6:.2f} million weights of the {whose} are trained"
        unknown = [name for name in run.save.editions if name not in BY_NAME]
        if unknown:
            raise UsageError(f"no edition is called {unknown[0]}; there are {', '.join(BY_NAME)}")

    def groups(self) -> tuple[Group, ...]:
        """The UNet's weights and the text encoders', kernels apart from scales."""
        rates = self.run.optimizer
        found: list[Group] = []
        for network in self.model.networks:
            rate = rates.rate if network.role == "unet" else rates.text_rate
            if network.role == "vae" or not rate:
                continue
            named = {network.prefix + n: p for n, p in network.module.named_parameters()}
            flat = {n: p for n, p in named.items() if _is_flat(n, p)}
            wide = {n: p for n, p in named.items() if n not in flat}
            found += [
                Group(f"{network.role} kernels", wide, rate),
                Group(f"{network.role} scales", flat, rate, decays=False),
            ]
        return tuple(found)

    def shelf(self, folder: Path) -> Shelf | None:
        """Nothing but the model itself is needed to paint with it."""
        return None

    def write(self, trained: Trained, path: Path) -> Iterator[Path]:
        """Each edition that the configuration names; the first has the output's own name."""
        for place, name in enumerate(self.run.save.editions):
            edition = BY_NAME[name]
            stem = path.stem if not place else f"{path.stem}-{name}"
            target = path.with_name(stem + (edition.suffix or path.suffix))
            yield self._write(edition, trained, target)

    def _write(self, edition: Edition, trained: Trained, path: Path) -> Path:
        tensors = edition.tensors(self, trained)
        metadata = {**trained.facts, "sfumato.steps": str(trained.step)}
        if not edition.suffix:
            save_file(path, tensors, metadata, force=True)
            return path
        moments = _moments(self, trained)
        tree = _tree(self, tensors, moments, trained, metadata)
        flat = {f"{MOMENTS}{place}.{slot}": value
                for place, slots in moments.items() for slot, value in slots.items()}  # fmt: skip
        save_file(path, tensors | flat, force=True, tree=tree)
        return path

    def whole(self, weights: Mapping[str, torch.Tensor]) -> dict[str, Tensor]:
        """Every tensor of the checkpoint, with `weights` in the place of those it has."""
        made: dict[str, torch.Tensor] = {}
        for network in self.model.networks:
            for name, weight in network.module.state_dict().items():
                made[network.prefix + name] = weight.detach()
        made |= {name: weight.detach() for name, weight in weights.items()}
        kept = {name: w.cpu().float() for name, w in made.items()}
        return all_from_torch(cast_for(kept, self.run.save.dtype))


def _is_flat(name: str, weight: Parameter) -> bool:
    return weight.dim() <= 1 or any(part in name for part in FLAT)


def _single(part: CheckpointPart, trained: Trained) -> dict[str, Tensor]:
    """One set of weights, the averaged one where there is an average."""
    return part.whole(trained.average or trained.weights)


def _live(part: CheckpointPart, trained: Trained) -> dict[str, Tensor]:
    """One set of weights, as they were last."""
    return part.whole(trained.weights)


def _both(part: CheckpointPart, trained: Trained) -> dict[str, Tensor]:
    """Live weights and, under the original trainer's names, the UNet's averaged ones."""
    return part.whole(trained.weights) | _averages(part, trained)


def _averages(part: CheckpointPart, trained: Trained) -> dict[str, Tensor]:
    if not trained.average:
        return {}
    prefix = next(n.prefix for n in part.model.networks if n.role == "unet")
    inner = prefix.removeprefix(INNER)
    named = {
        averaged_name(name.removeprefix(prefix), inner): weight
        for name, weight in trained.average.items()
        if name.startswith(prefix)
    }
    decay, updates = COUNTERS
    counters = {
        decay: from_torch(torch.tensor(trained.average_decay, dtype=torch.float32)),
        updates: from_torch(torch.tensor(trained.average_updates, dtype=torch.int32)),
    }
    return all_from_torch(cast_for(named, part.run.save.dtype)) | counters


MOMENTS = "optimizer_states.0.state."

Moments = dict[int, dict[str, Tensor]]
"""number of a weight, in the optimiser's order → slot → value"""


def _moments(part: CheckpointPart, trained: Trained) -> Moments:
    names = [name for group in part.groups() for name in group.parameters]
    places = {name: place for place, name in enumerate(names)}
    moments: Moments = {}
    for key, value in trained.optimizer.items():
        name, _, slot = key.rpartition("|")
        moments.setdefault(places[name], {})[slot] = from_torch(value)
    return moments


def _tree(
    part: CheckpointPart,
    tensors: Mapping[str, Tensor],
    moments: Moments,
    trained: Trained,
    metadata: Mapping[str, str],
) -> Tree:
    """The nested value of a Lightning checkpoint, from which that trainer could go on."""
    count = sum(len(group.parameters) for group in part.groups())
    group: dict[Key, Tree] = {"lr": part.run.optimizer.rate, "params": list(range(count))}
    state: dict[Key, Tree] = {place: {**slots} for place, slots in moments.items()}
    return {
        "epoch": trained.epoch,
        "global_step": trained.step,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": {**tensors},
        "callbacks": {},
        "optimizer_states": [{"state": state, "param_groups": [group]}],
        "lr_schedulers": [],
        "sfumato": {**metadata},
    }


EDITIONS: tuple[Edition, ...] = (
    Edition("ema", "", _single),
    Edition("live", "", _live),
    Edition("pruned", "", _both),
    Edition("state", ".ckpt", _both),
)
"""every edition: averaged weights alone, live ones alone, both, and the whole training state"""

BY_NAME: dict[str, Edition] = {edition.name: edition for edition in EDITIONS}
