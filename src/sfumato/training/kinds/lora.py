"""Training a LoRA: small factors beside weights that stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from operator import attrgetter
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sfumato.catalogue.spelling.networks import Module, unet_modules
from sfumato.catalogue.spelling.texts import clip_modules, openclip_modules
from sfumato.catalogue.trees.text import Text
from sfumato.catalogue.trees.unet import UNet
from sfumato.engine.adapters.deltas.kinds import BY_NAME, change
from sfumato.engine.model import Model, Network
from sfumato.engine.networks.openclip import OpenCLIPText
from sfumato.engine.prompt.chunks import EmbeddingTable
from sfumato.errors import Refused
from sfumato.library.find import Shelf
from sfumato.training.lora_metadata import lora_metadata
from sfumato.training.output import cast_for, write_tensors
from sfumato.training.randomness import generator
from sfumato.training.settings import LoraShape, Run
from sfumato.training.trainee import Group, Trained

SUFFIXES: Mapping[str, str] = {
    "down": "lora_down.weight", "up": "lora_up.weight", "alpha": "alpha",
    "w1_a": "hada_w1_a", "w1_b": "hada_w1_b", "w2_a": "hada_w2_a", "w2_b": "hada_w2_b",
    "w1": "lokr_w1", "w2": "lokr_w2", "kr_w2_a": "lokr_w2_a", "kr_w2_b": "lokr_w2_b",
    "magnitude": "dora_scale",
}  # fmt: skip
"""slot → what it is called in kohya's and LyCORIS' files"""

TRANSFORMER = re.compile(r"transformer_blocks\.|\.proj_(in|out)$|\.layers\.|resblocks\.")
"""modules that kohya's trainer adapts by default; 3×3 convolutions are asked for"""


@dataclass(frozen=True, slots=True)
class Site:
    """One weight that gets factors."""

    key: str
    """as files call it: `lora_unet_…`"""
    owner: nn.Module
    name: str
    """of the weight in its layer"""
    rows: tuple[int, int] | None
    shape: tuple[int, ...]
    text: bool
    """True for a text encoder's"""


class Factors(nn.Module):
    """A parametrisation: the weight with its change, by the same function that painting uses."""

    def __init__(self, site: Site, shape: LoraShape, seed: int, weight: Tensor) -> None:
        super().__init__()
        own = weight if site.rows is None else weight[site.rows[0] : site.rows[1]]
        conv = len(site.shape) == 4 and site.shape[-1] > 1
        self.rows = site.rows
        self.kind = BY_NAME[shape.algorithm]
        self.rank = shape.conv_rank if conv else shape.rank
        self.alpha = shape.alpha or float(self.rank)
        self.slots = nn.ParameterDict(_start(site, shape, self.rank, seed))
        if shape.dora:
            axes = [axis for axis in range(own.dim()) if axis != 0]
            lengths = torch.linalg.vector_norm(own.detach(), dim=axes, keepdim=True)
            self.slots["magnitude"] = nn.Parameter(lengths.float().clone())

    @property
    def scale(self) -> float:
        """What the product is multiplied by."""
        return self.alpha / self.rank

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with its change; where rows are shared, only these change."""
        if self.rows is None:
            return weight + self._change(weight)
        first, last = self.rows
        moved = weight[first:last] + self._change(weight[first:last])
        return torch.cat([weight[:first], moved, weight[last:]])

    def _change(self, weight: Tensor) -> Tensor:
        slots = {name.removeprefix("kr_"): value for name, value in self.slots.items()}
        return change(self.kind, slots, weight.float(), scale=self.scale).to(weight.dtype)


def _start(site: Site, shape: LoraShape, rank: int, seed: int) -> dict[str, nn.Parameter]:
    """Random and zero factors, so that the first change is none."""
    out, into = site.shape[0], torch.Size(site.shape[1:]).numel()
    tail = site.shape[1:]

    def drawn(*size: int, bound: float) -> Tensor:
        draw = generator(seed, "start", *site.key.encode(), len(size), size[-1])
        return torch.rand(size, generator=draw) * 2 * bound - bound

    if shape.algorithm == "lora":
        narrow = (1, 1) if len(site.shape) == 4 else ()
        values = {
            "down": drawn(rank, *tail, bound=1 / sqrt(into)),
            "up": torch.zeros(out, rank, *narrow),
        }
    elif shape.algorithm == "loha":
        values = {
            "w1_a": drawn(out, rank, bound=0.1), "w1_b": drawn(rank, into, bound=1.0),
            "w2_a": torch.zeros(out, rank), "w2_b": drawn(rank, into, bound=0.1),
        }  # fmt: skip
    else:
        values = _kronecker(site, rank, shape.factor, drawn)
    return {name: nn.Parameter(value) for name, value in values.items()}


def _kronecker(site: Site, rank: int, factor: int, drawn: object) -> dict[str, Tensor]:
    out, into = site.shape[0], site.shape[1]
    rest = torch.Size(site.shape[2:]).numel()
    first = (_divisor(out, factor), _divisor(into, factor))
    second = (out // first[0], into // first[1] * rest)
    assert callable(drawn)
    values: dict[str, Tensor] = {"w1": drawn(*first, bound=1 / sqrt(first[1]))}
    if rank < min(second) / 2:
        values["kr_w2_a"] = torch.zeros(second[0], rank)
        values["kr_w2_b"] = drawn(rank, second[1], bound=1 / sqrt(second[1]))
    else:
        values["w2"] = torch.zeros(second[0], into // first[1], *site.shape[2:])
    return values


def _divisor(size: int, most: int) -> int:
    """The largest divisor of `size` that is at most `most`."""
    return next(d for d in range(min(most, size), 0, -1) if size % d == 0)


class LoraPart:
    """Factors on the layers that are chosen."""

    embeddings: EmbeddingTable | None = None

    def __init__(self, run: Run, model: Model) -> None:
        self.run = run
        self.model = model
        self.learns_text = run.optimizer.text_rate > 0
        for network in model.networks:
            network.module.requires_grad_(requires_grad=False)
        self.factors: dict[str, tuple[Site, Factors]] = {}
        for site in self._sites():
            weight = attrgetter(site.name)(site.owner)
            made = Factors(site, run.lora, run.seed, weight).to(weight.device)
            parametrize.register_parametrization(site.owner, site.name, made, unsafe=True)
            self.factors[site.key] = (site, made)
        if not self.factors:
            raise Refused(f"no layer of {model.path.name} matches lora.blocks")
        count = sum(p.numel() for _, made in self.factors.values() for p in made.parameters())
        self.note = (
            f"a {run.lora.algorithm} of rank {run.lora.rank} on {len(self.factors)} layers: "
            f"{count / 1e6:.2f} million weights are trained"
        )

    def _sites(self) -> Iterator[Site]:
        for network in self.model.networks:
            text = network.role != "unet"
            if network.role == "vae" or (text and not self.learns_text):
                continue
            for module in modules_of(network):
                if self._is_chosen(module):
                    yield site_of(network, module, self.model)

    def _is_chosen(self, module: Module) -> bool:
        shape = self.run.lora
        if shape.blocks and not any(re.search(each, module.ldm) for each in shape.blocks):
            return False
        if len(module.shape) < 2 or "embedding" in module.ldm or "embed" in module.ldm:
            return False
        if len(module.shape) == 4 and module.shape[-1] > 1:
            return shape.conv_rank > 0
        return bool(TRANSFORMER.search(module.ldm)) or shape.conv_rank > 0

    def groups(self) -> tuple[Group, ...]:
        """The factors of the UNet and of the text encoders."""
        rates = self.run.optimizer
        unet, text = dict[str, nn.Parameter](), dict[str, nn.Parameter]()
        for key, (site, made) in self.factors.items():
            named = {f"{key}.{slot}": p for slot, p in made.slots.items()}
            (text if site.text else unet).update(named)  # pyright: ignore
        groups = [Group("unet", unet, rates.rate)]
        return (*groups, Group("text encoder", text, rates.text_rate)) if text else tuple(groups)

    def shelf(self, folder: Path) -> Shelf | None:
        """The factors act already: nothing else is needed to paint with them."""
        return None

    def write(self, trained: Trained, path: Path) -> Iterator[Path]:
        """One LoRA file, named as kohya's trainer names things, with its metadata."""
        chosen = trained.average or trained.weights
        state: dict[str, Tensor] = {}
        for name, value in chosen.items():
            key, _, slot = name.rpartition(".")
            state[f"{key}.{SUFFIXES[slot]}"] = value.detach().cpu().contiguous()
        for key, (_, made) in self.factors.items():
            state[f"{key}.alpha"] = torch.tensor(made.alpha)
        ordered = dict(sorted(cast_for(state, self.run.save.dtype).items()))
        metadata = lora_metadata(self.run, self.model, trained, path.stem)
        yield write_tensors(path, ordered, trained, self.run, metadata)


def modules_of(network: Network) -> tuple[Module, ...]:
    """Every layer of a network under all its names."""
    match network.sizes:
        case UNet():
            return unet_modules(network.sizes)
        case Text():
            packed = isinstance(network.module, OpenCLIPText)
            return openclip_modules(network.sizes) if packed else clip_modules(network.sizes)
        case _:
            return ()


def site_of(network: Network, module: Module, model: Model) -> Site:
    """Where the weight of a layer is, and what files call it."""
    path, _, name = module.weight.rpartition(".")
    owner = network.module.get_submodule(path)
    spelled = module.ldm if network.role == "unet" and "xl" in model.family else module.diffusers
    key = f"{_prefix(network, model)}_{spelled.replace('.', '_')}"
    weight = owner._parameters[name]  # pyright: ignore[reportPrivateUsage]
    assert weight is not None
    shape = module.shape if module.rows is not None else tuple(weight.shape)
    return Site(key, owner, name, module.rows, shape, network.role != "unet")


def _prefix(network: Network, model: Model) -> str:
    if network.role == "unet":
        return "lora_unet"
    if model.family == "sdxl":
        return "lora_te2" if network.role == "text_encoder_2" else "lora_te1"
    return "lora_te"
