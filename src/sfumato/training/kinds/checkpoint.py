"""Training a whole checkpoint: its UNet, and its text encoder where that has a rate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch.nn import Parameter

from sfumato.containers.save_file import save_file
from sfumato.engine.model import Model
from sfumato.engine.prompt.chunks import EmbeddingTable
from sfumato.errors import UsageError
from sfumato.library.find import Shelf
from sfumato.training.kinds.editions import BY_NAME, Edition, Whole
from sfumato.training.kinds.lightning import moments_of, tree_of
from sfumato.training.kinds.part import Taught
from sfumato.training.kinds.reached import is_reached
from sfumato.training.output import check_suffix, facts_of, modelspec
from sfumato.training.settings import Run
from sfumato.training.trainee import Group, Trained

FLAT = ("embedding", "norm", "ln_")
"""parts of names of weights that are not pulled towards zero, beside all vectors"""


class CheckpointPart:
    """Every weight of the UNet, and of the text encoders where they learn too."""

    embeddings: EmbeddingTable | None = None

    def __init__(self, run: Run, model: Model) -> None:
        """Raises UsageError for an edition that there is not."""
        check_suffix(run, (".safetensors", ".ckpt"))
        self.run = run
        self.model = model
        self.learns_text = run.optimizer.text_rate > 0
        self.learners = [
            network for network in model.networks
            if network.role == "unet" or (self.learns_text and network.role != "vae")
        ]  # fmt: skip
        for network in model.networks:
            network.module.requires_grad_(requires_grad=False)
        for group in self.groups():
            for weight in group.parameters.values():
                weight.requires_grad_()
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
        for network in self.learners:
            rate = rates.rate if network.role == "unet" else rates.text_rate
            named = {
                network.prefix + name: weight
                for name, weight in network.module.named_parameters()
                if is_reached(network, name, self.model)
            }
            flat = {n: p for n, p in named.items() if _is_flat(n, p)}
            wide = {n: p for n, p in named.items() if n not in flat}
            found += [
                Group(f"{network.role} kernels", wide, rate),
                Group(f"{network.role} scales", flat, rate, decays=False),
            ]
        return tuple(found)

    def learning(self, *, on: bool) -> None:
        """A checkpoint has no layer that acts otherwise while it learns."""

    def shelf(self, folder: Path) -> Shelf | None:
        """Nothing but the model itself is needed to paint with it."""
        return None

    def write(self, trained: Trained, path: Path, taught: Taught) -> Iterator[Path]:
        """Each edition that the configuration names; the first has the output's own name."""
        for place, name in enumerate(self.run.save.editions):
            edition = BY_NAME[name]
            stem = path.stem if not place else f"{path.stem}-{name}"
            target = path.with_name(stem + (edition.suffix or path.suffix))
            yield self._write(edition, trained, target, taught)

    def _write(self, edition: Edition, trained: Trained, path: Path, taught: Taught) -> Path:
        dtype = edition.dtype or self.run.save.dtype
        tensors = edition.tensors(Whole(self.model, trained, dtype))
        spec = modelspec(self.run, self.model, path.stem, "", taught.lesson.resolution)
        facts = facts_of(trained, spec)
        if not edition.suffix:
            save_file(path, tensors, facts, force=True)
            return path
        inner = moments_of(self.learners, trained)
        tree = tree_of(inner, tensors, trained, self.run)
        flat = {name: value for slots in inner.by_name().values() for name, value in slots.items()}
        save_file(path, tensors | flat, force=True, tree={**tree, "sfumato": {**facts}})
        return path


def _is_flat(name: str, weight: Parameter) -> bool:
    return weight.dim() <= 1 or any(part in name for part in FLAT)
