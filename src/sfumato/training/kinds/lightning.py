"""A training state as PyTorch Lightning 1.4 nests it, which is what SD1's trainer reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from sfumato.containers.model_file import Key, Tree
from sfumato.containers.tensor import Tensor
from sfumato.engine.model import Network
from sfumato.training.settings import Run
from sfumato.training.torch_tensors import from_torch
from sfumato.training.trainee import Trained

VERSION = "1.4.2"
"""of Lightning, as the published checkpoints of SD1 have it"""

STATES = "optimizer_states.0.state."

BLOCK = re.compile(r"(?P<block>.*transformer_blocks\.\d+\.)(?P<part>attn1|ff|attn2|norm\d)\.")
"""a weight of one of a UNet's transformer blocks"""

PARTS = ("attn1", "ff", "attn2", "norm1", "norm2", "norm3")
"""the parts of such a block in the order in which ldm/modules/attention.py registers them"""


@dataclass(frozen=True, slots=True)
class Moments:
    """What an optimiser knows of each weight, in the order in which the trainer lists them."""

    names: Sequence[str]
    slots: Mapping[int, Mapping[str, Tensor]]
    """place of a weight in `names` → slot → value; none for weights that never had a gradient"""

    def by_name(self) -> dict[int, dict[str, Tensor]]:
        """The same with whole names in the file."""
        return {
            place: {f"{STATES}{place}.{slot}": value for slot, value in slots.items()}
            for place, slots in self.slots.items()
        }


def moments_of(networks: Iterable[Network], trained: Trained) -> Moments:
    """The optimiser's state of the networks that learn, by the number of each weight."""
    names = [name for network in networks for name in original_order(network)]
    places = {name: place for place, name in enumerate(names)}
    found: dict[int, dict[str, Tensor]] = {}
    for key, value in trained.optimizer.items():
        name, _, slot = key.rpartition("|")
        found.setdefault(places[name], {})[slot] = from_torch(value)
    return Moments(names, dict(sorted(found.items())))


def original_order(network: Network) -> list[str]:
    """Names of all weights of a network as `parameters()` lists them in the original code.

    There the feed-forward layer stands between the attentions, and OpenCLIP's token table behind
    its layers; all else is as here.
    """
    names = [name for name, _ in network.module.named_parameters()]
    ordered: list[str] = []
    for block, run in groupby(names, _block):
        rows = list(run)
        ordered += sorted(rows, key=_part) if block else rows
    table = "token_embedding.weight"
    if table in ordered:  # OpenCLIP's; transformers' stands in a module of its own
        ordered.remove(table)
        ordered.insert(ordered.index("ln_final.weight"), table)
    return [network.prefix + name for name in ordered]


def _block(name: str) -> str:
    found = BLOCK.match(name)
    return found["block"] if found else ""


def _part(name: str) -> int:
    found = BLOCK.match(name)
    return PARTS.index(found["part"]) if found else 0


def tree_of(
    moments: Moments, tensors: Mapping[str, Tensor], trained: Trained, run: Run
) -> dict[Key, Tree]:
    """The nested value of a checkpoint, from which that trainer could go on."""
    settings = run.optimizer
    group: dict[Key, Tree] = {
        "lr": settings.rate,
        "betas": settings.betas,
        "eps": 1e-8,
        "weight_decay": settings.weight_decay,
        "amsgrad": False,
        "params": list(range(len(moments.names))),
    }
    state: dict[Key, Tree] = {place: {**slots} for place, slots in moments.slots.items()}
    return {
        "epoch": trained.epoch,
        "global_step": trained.step,
        "pytorch-lightning_version": VERSION,
        "state_dict": {**tensors},
        "callbacks": {},
        "optimizer_states": [{"state": state, "param_groups": [group]}],
        "lr_schedulers": [],
    }
