"""Training a hypernetwork: two small networks before the keys and values of every attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from sfumato.containers.model_file import Key, Tree
from sfumato.containers.save_file import save_file
from sfumato.containers.tensor import Tensor as FileTensor
from sfumato.containers.text import escape
from sfumato.engine.adapters.hypernetworks import FUNCTIONS, change
from sfumato.engine.model import Model
from sfumato.engine.networks.attention import CrossAttention
from sfumato.engine.prompt.chunks import EmbeddingTable
from sfumato.errors import Refused, UsageError
from sfumato.library.find import Shelf
from sfumato.training.kinds.part import Taught
from sfumato.training.output import check_suffix, facts_of
from sfumato.training.randomness import generator
from sfumato.training.settings import HypernetworkShape, Run
from sfumato.training.torch_tensors import from_torch
from sfumato.training.trainee import Group, Trained


class Branch(nn.Module):
    """One small network, whose layers are numbered as A1111 numbers them."""

    def __init__(self, width: int, shape: HypernetworkShape, seed: int, place: int) -> None:
        """place: 0 for keys, 1 for values."""
        super().__init__()
        widths = [round(width * factor) for factor in shape.structure]
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise(widths)):
            layers.append(nn.Linear(inputs, outputs))
            if shape.activation != "linear" and index < len(widths) - 2:
                layers.append(Activation(shape.activation))
            if shape.layer_norm:
                layers.append(nn.LayerNorm(outputs))
            if shape.dropout and shape.dropout[index + 1] > 0:
                layers.append(nn.Dropout(shape.dropout[index + 1]))
        for number, layer in enumerate(layers):
            _fill(layer, shape, generator(seed, "start", width, place, number))
        self.linear = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, width) → the same: what is added to it."""
        return self.linear(x)


class Activation(nn.Module):
    """A function of A1111's list as a layer."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = FUNCTIONS[name]

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return self.function(x)


def _normal(weight: Tensor, draw: torch.Generator, _activation: str) -> None:
    nn.init.normal_(weight, 0.0, 0.01, generator=draw)


def _xavier_uniform(weight: Tensor, draw: torch.Generator, _activation: str) -> None:
    nn.init.xavier_uniform_(weight, generator=draw)


def _xavier_normal(weight: Tensor, draw: torch.Generator, _activation: str) -> None:
    nn.init.xavier_normal_(weight, generator=draw)


def _kaiming_uniform(weight: Tensor, draw: torch.Generator, activation: str) -> None:
    nn.init.kaiming_uniform_(weight, nonlinearity=_slope(activation), generator=draw)


def _kaiming_normal(weight: Tensor, draw: torch.Generator, activation: str) -> None:
    nn.init.kaiming_normal_(weight, nonlinearity=_slope(activation), generator=draw)


def _slope(activation: str) -> Literal["leaky_relu", "relu"]:
    return "leaky_relu" if activation == "leakyrelu" else "relu"


STARTS: Mapping[str, Callable[[Tensor, torch.Generator, str], None]] = {
    "Normal": _normal,
    "XavierUniform": _xavier_uniform,
    "XavierNormal": _xavier_normal,
    "KaimingUniform": _kaiming_uniform,
    "KaimingNormal": _kaiming_normal,
}
"""A1111's name → how a linear layer's weight starts; biases start at 0"""


@torch.no_grad()
def _fill(layer: nn.Module, shape: HypernetworkShape, draw: torch.Generator) -> None:
    """Norms start as small as Normal has it, whatever else is asked for: so A1111 does."""
    if isinstance(layer, nn.Linear | nn.LayerNorm):
        norm = isinstance(layer, nn.LayerNorm)
        STARTS["Normal" if norm else shape.start](layer.weight, draw, shape.activation)
        layer.bias.zero_()


class HypernetworkPart:
    """Two branches for each width, acting while they learn."""

    learns_text = False
    embeddings: EmbeddingTable | None = None

    def __init__(self, run: Run, model: Model) -> None:
        """Raises UsageError for a structure that A1111 has not, Refused for a width that is not."""
        self.run = run
        self.model = model
        shape = run.hypernetwork
        check_suffix(run, (".pt",))
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

    def learning(self, *, on: bool) -> None:
        """Dropout acts only while it learns."""
        for pair in self.branches.values():
            for branch in pair:
                branch.train(on)

    def shelf(self, folder: Path) -> Shelf | None:
        """It acts already: nothing else is needed to paint with it."""
        return None

    def write(self, trained: Trained, path: Path, taught: Taught) -> Iterator[Path]:
        """One file in A1111's layout."""
        chosen = trained.average or trained.weights
        kept = {name: from_torch(value.detach().float()) for name, value in chosen.items()}
        widths: dict[Key, Tree] = {
            width: (_half(kept, f"{width}.0."), _half(kept, f"{width}.1."))
            for width in self.branches
        }
        tree = widths | self._told(trained, path.stem)
        save_file(path, kept, None, force=True, tree=tree)
        yield path

    def _told(self, trained: Trained, name: str) -> dict[Key, Tree]:
        """What A1111 needs to build the layers again, and the run."""
        shape = self.run.hypernetwork
        return {
            "step": trained.step,
            "name": name,
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
            **facts_of(trained),
        }


def _half(kept: Mapping[str, FileTensor], prefix: str) -> dict[Key, Tree]:
    return {n.removeprefix(prefix): tensor for n, tensor in kept.items() if n.startswith(prefix)}


def _number(factor: float) -> float | int:
    return int(factor) if factor == int(factor) else factor


def _check(shape: HypernetworkShape) -> None:
    if len(shape.structure) < 2 or shape.structure[0] != 1 or shape.structure[-1] != 1:
        raise UsageError("hypernetwork.structure begins and ends with 1: [1, 2, 1]")
    if shape.activation not in FUNCTIONS:
        near = get_close_matches(shape.activation, FUNCTIONS, 1)
        hint = f"the nearest is {near[0]}" if near else f"there are {', '.join(FUNCTIONS)}"
        raise UsageError(f"no activation is called {escape(shape.activation, 40)}; {hint}")
    if not shape.dropout:
        return
    ends = (shape.dropout[0], shape.dropout[-1])
    if len(shape.dropout) != len(shape.structure) or any(ends) or max(shape.dropout) >= 1:
        raise UsageError(
            "hypernetwork.dropout has as many values as the structure, below 1, the first and the "
            "last of them 0: [0, 0.3, 0]"
        )
