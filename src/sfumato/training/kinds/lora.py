"""Training a LoRA: small factors beside weights that stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sfumato.catalogue.spelling.networks import Module, unet_modules
from sfumato.catalogue.spelling.texts import clip_modules, openclip_modules
from sfumato.catalogue.trees.text import Text
from sfumato.catalogue.trees.unet import UNet
from sfumato.containers.text import escape
from sfumato.engine.model import Model, Network
from sfumato.engine.networks.openclip import OpenCLIPText
from sfumato.engine.prompt.chunks import EmbeddingTable
from sfumato.errors import Refused, UsageError
from sfumato.library.find import Shelf
from sfumato.training.kinds.beside import attach
from sfumato.training.kinds.factors import Factors, Site
from sfumato.training.kinds.part import Taught
from sfumato.training.kinds.reached import is_reached
from sfumato.training.kinds.thinning import Thinning
from sfumato.training.lora_metadata import lora_metadata
from sfumato.training.output import cast_for, check_suffix, write_tensors
from sfumato.training.settings import LoraShape, Run
from sfumato.training.trainee import Group, Trained

SUFFIXES: Mapping[str, Mapping[str, str]] = {
    "lora": {"down": "lora_down.weight", "up": "lora_up.weight"},
    "loha": {slot: f"hada_{slot}" for slot in ("w1_a", "w1_b", "w2_a", "w2_b")},
    "lokr": {slot: f"lokr_{slot}" for slot in ("w1", "w2", "w2_a", "w2_b")},
}
"""algorithm → slot → what kohya's and LyCORIS' files call it"""

MAGNITUDE = "dora_scale"

TRANSFORMER = re.compile(r"transformer_blocks\.|\.proj_(in|out)$|\.layers\.|resblocks\.")
"""modules that kohya's trainer adapts by default; all others are asked for with `conv_rank`"""

NEVER = re.compile(r"embed|label_emb|text_projection")


class LoraPart:
    """Factors on the layers that are chosen."""

    embeddings: EmbeddingTable | None = None

    def __init__(self, run: Run, model: Model) -> None:
        """Raises UsageError for a shape that makes no sense, Refused where no layer is chosen."""
        check_suffix(run, (".safetensors",))
        _check(run.lora)
        self.run = run
        self.model = model
        self.learns_text = run.optimizer.text_rate > 0
        for network in model.networks:
            network.module.requires_grad_(requires_grad=False)
        self.thinning = Thinning.of(run.lora)
        self.factors: dict[str, tuple[Site, Factors]] = {}
        for site in self._sites():
            made = Factors(site, run.lora, run.seed, self.thinning)
            self.factors[site.key] = (site, made)
        for site, made in self.factors.values():
            attach(site, made)
        if not self.factors:
            raise Refused(f"{model.path}: no layer of it matches lora.blocks")
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
                if self._is_chosen(module) and is_reached(network, module.ldm, self.model):
                    yield site_of(network, module, self.model)

    def _is_chosen(self, module: Module) -> bool:
        shape = self.run.lora
        if shape.blocks and not any(re.search(each, module.ldm) for each in shape.blocks):
            return False
        if len(module.shape) < 2 or NEVER.search(module.ldm):
            return False
        if len(module.shape) == 4 and module.shape[-1] > 1:
            return shape.conv_rank > 0
        return bool(TRANSFORMER.search(module.ldm)) or shape.conv_rank > 0

    def groups(self) -> tuple[Group, ...]:
        """The factors of the UNet and of the text encoders."""
        rates = self.run.optimizer
        unet, text = dict[str, nn.Parameter](), dict[str, nn.Parameter]()
        for key, (site, made) in self.factors.items():
            chosen = text if site.text else unet
            chosen |= {f"{key}.{slot}": p for slot, p in made.slots.items()}
        groups = (Group("unet", unet, rates.rate), Group("text encoder", text, rates.text_rate))
        return tuple(group for group in groups if group.parameters)

    def learning(self, *, on: bool) -> None:
        """Nothing is left out but while they learn."""
        self.thinning.on = on

    def shelf(self, folder: Path) -> Shelf | None:
        """The factors act already: nothing else is needed to paint with them."""
        return None

    def write(self, trained: Trained, path: Path, taught: Taught) -> Iterator[Path]:
        """One LoRA file, named as kohya's trainer names things, with its metadata."""
        chosen = trained.average or trained.weights
        suffixes = {**SUFFIXES[self.run.lora.algorithm], "magnitude": MAGNITUDE}
        state: dict[str, Tensor] = {}
        for name, value in chosen.items():
            key, _, slot = name.rpartition(".")
            state[f"{key}.{suffixes[slot]}"] = value.detach().contiguous()
        for key, (_, made) in self.factors.items():
            state[f"{key}.alpha"] = torch.tensor(made.alpha)
        ordered = dict(sorted(cast_for(state, self.run.save.dtype).items()))
        metadata = lora_metadata(self.run, self.model, trained, path.stem, taught)
        yield write_tensors(path, ordered, trained, self.run, metadata)


def _check(shape: LoraShape) -> None:
    if shape.rank < 1 or shape.conv_rank < 0 or shape.factor < 1 or shape.alpha < 0:
        raise UsageError("lora.rank and lora.factor are 1 or more, conv_rank and alpha 0 or more")
    if (shape.dropout or shape.rank_dropout) and (shape.algorithm != "lora" or shape.dora):
        raise UsageError(
            "lora.dropout and lora.rank_dropout take algorithm lora without dora, where something "
            "stands between two factors; lora.module_dropout takes all"
        )
    for each in shape.blocks:
        try:
            re.compile(each)
        except re.error as error:
            raise UsageError(
                f"lora.blocks: {escape(each, 60)} is no regular expression: {error}"
            ) from error


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
    weight = owner.get_parameter(name)
    shape = module.shape if module.rows is not None else tuple(weight.shape)
    return Site(key, owner, name, module.rows, shape, network.role != "unet")


def _prefix(network: Network, model: Model) -> str:
    if network.role == "unet":
        return "lora_unet"
    if model.family == "sdxl":
        return "lora_te2" if network.role == "text_encoder_2" else "lora_te1"
    return "lora_te"
