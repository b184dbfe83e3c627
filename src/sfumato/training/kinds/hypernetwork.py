"""Training a hypernetwork: two small networks before the keys and values of every attention."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from sfumato.containers.model_file import Tree
from sfumato.containers.save_file import save_file
from sfumato.engine.adapters.hypernetworks import FUNCTIONS, change
from sfumato.engine.model import Model
from sfumato.engine.networks.attention import CrossAttention
from sfumato.engine.prompt.chunks import EmbeddingTable
from sfumato.errors import Refused, UsageError
from sfumato.library.find import Shelf
from sfumato.training.randomness import generator
from sfumato.training.settings import HypernetworkShape, Run
from sfumato.training.torch_tensors import from_torch
from sfumato.training.trainee import Group, Trained


class Branch(nn.Module):
    """One small network, whose layers are numbered as A1111 numbers them."""

    def __init__(self, width: int, shape: HypernetworkShape, seed: int, place: int) -> None:
        super().__init__()
        widths = [round(width * factor) for factor in shape.structure]
        self.activation = FUNCTIONS[shape.activation]
        layers: list[nn.Module] = []
        self.steps: list[tuple[str, nn.Module | None]] = []
        for index in range(len(widths) - 1):
            last = index == len(widths) - 2
            linear = nn.Linear(widths[index], widths[index + 1])
            _fill(linear, shape.start, generator(seed, "start", width, place, index))
            self._append(layers, linear)
            if shape.activation != "linear" and not last:
                layers.append(nn.Identity())
                self.steps.append(("activation", None))
            if shape.layer_norm:
                self._append(layers, nn.LayerNorm(widths[index + 1]))
            rate = shape.dropout[index + 1] if shape.dropout else 0.0
            if rate and not last:
                self._append(layers, nn.Dropout(rate))
        self.linear = nn.ModuleList(layers)

    def _append(self, layers: list[nn.Module], layer: nn.Module) -> None:
        layers.append(layer)
        self.steps.append(("layer", layer))

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, width) → the same: what is added to it."""
        for name, layer in self.steps:
            x = self.activation(x) if name == "activation" or layer is None else layer(x)
        return x


STARTS = {
    "Normal": lambda w, g: nn.init.normal_(w, 0.0, 0.01, generator=g),
    "XavierUniform": lambda w, g: nn.init.xavier_uniform_(w, generator=g),
    "XavierNormal": lambda w, g: nn.init.xavier_normal_(w, generator=g),
    "KaimingUniform": lambda w, g: nn.init.kaiming_uniform_(w, generator=g),
    "KaimingNormal": lambda w, g: nn.init.kaiming_normal_(w, generator=g),
}


@torch.no_grad()
def _fill(layer: nn.Linear, start: str, draw: torch.Generator) -> None:
    STARTS[start](layer.weight, draw)
    layer.bias.zero_()


class HypernetworkPart:
    """Two branches for each width, acting while they learn."""

    learns_text = False
    embeddings: EmbeddingTable | None = None

    def __init__(self, run: Run, model: Model) -> None:
        self.run = run
        self.model = model
        shape = run.hypernetwork
        _check(shape)
        for network in model.networks:
            network.module.requires_grad_(requires_grad=False)
        layers = [m for m in model.unet.modules() if isinstance(m, CrossAttention)]
        present = sorted({layer.to_k.in_features for layer in layers})
        missing = [width for width in shape.sizes if width not in present]
        if missing:
            raise Refused(
                f"{model.path.name} has no attention of width {missing[0]}; it has "
                f"{', '.join(map(str, present))}"
            )
        device = model.placement.device
        self.branches = {
            width: tuple(Branch(width, shape, run.seed, place).to(device) for place in (0, 1))
            for width in shape.sizes or present
        }
        for layer in layers:
            pair = self.branches.get(layer.to_k.in_features)
            if pair is not None:
                layer.changes = (*layer.changes, change(pair[0], pair[1], 1.0))
        widths = ", ".join(map(str, self.branches))
        self.note = f"a hypernetwork for the widths {widths} is trained"

    def groups(self) -> tuple[Group, ...]:
        """Every weight of every branch."""
        named = {
            f"{width}.{place}.{name}": parameter
            for width, pair in self.branches.items()
            for place, branch in enumerate(pair)
            for name, parameter in branch.named_parameters()
        }
        return (Group("hypernetwork", named, self.run.optimizer.rate),)

    def shelf(self, folder: Path) -> Shelf | None:
        """It acts already: nothing else is needed to paint with it."""
        return None

    def write(self, trained: Trained, path: Path) -> Iterator[Path]:
        """One file in A1111's layout."""
        chosen = trained.average or trained.weights
        kept = {name: from_torch(value.detach().float().cpu()) for name, value in chosen.items()}
        shape = self.run.hypernetwork
        tree: dict[str | int, Tree] = {
            width: tuple(
                {
                    name.removeprefix(f"{width}.{place}."): tensor
                    for name, tensor in kept.items()
                    if name.startswith(f"{width}.{place}.")
                }
                for place in (0, 1)
            )  # pyright: ignore[reportArgumentType]
            for width in self.branches
        }
        tree |= {
            "step": trained.step,
            "name": path.stem,
            "layer_structure": [_number(factor) for factor in shape.structure],
            "activation_func": shape.activation,
            "is_layer_norm": shape.layer_norm,
            "weight_initialization": shape.start,
            "use_dropout": bool(shape.dropout),
            "dropout_structure": list(shape.dropout) or None,
            "last_layer_dropout": False,
            "activate_output": False,
            "sd_checkpoint": None,
            "sd_checkpoint_name": self.model.path.stem,
            **trained.facts,
        }  # pyright: ignore[reportAssignmentType]
        save_file(path, kept, None, force=True, tree=tree)  # pyright: ignore[reportArgumentType]
        yield path


def _number(factor: float) -> float | int:
    return int(factor) if factor == int(factor) else factor


def _check(shape: HypernetworkShape) -> None:
    if len(shape.structure) < 2 or shape.structure[0] != 1 or shape.structure[-1] != 1:
        raise UsageError("hypernetwork.structure begins and ends with 1: [1, 2, 1]")
    if shape.activation not in FUNCTIONS:
        raise UsageError(
            f"no activation is called {shape.activation!r}; there are {', '.join(FUNCTIONS)}"
        )
    if shape.dropout and len(shape.dropout) != len(shape.structure):
        raise UsageError("hypernetwork.dropout has as many values as the structure")
