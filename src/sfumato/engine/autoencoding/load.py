"""A VAE from a file of its own, in any layout, made to fit a loaded model."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from sfumato.catalogue.trees.tiny_vae import TinyVAE
from sfumato.catalogue.trees.vae import VAE
from sfumato.containers.open import open_model
from sfumato.containers.source import is_file
from sfumato.containers.tensor import Tensor
from sfumato.containers.text import escape
from sfumato.engine.model import Model, Network
from sfumato.engine.networks.build import build
from sfumato.engine.networks.fill import fill
from sfumato.errors import Damaged, Refused
from sfumato.operations.applied import Applied
from sfumato.operations.vae_file import Sizes, factor, read_vae

PREFIX = "first_stage_model."
"""what the keys of a checkpoint's VAE begin with"""

HALVES = (("encoder", "decoder"), ("decoder", "encoder"))
"""words in the names of a TAESD's two files, each with the other's"""


def load_vae(path: Path, model: Model) -> Network:
    """Read a VAE into a network that can take the place of the model's own (`swapped`).

    A VAE of LDM or diffusers, bare, in a checkpoint or in a training state; TAESD in one file or
    in two, of which the other is looked for beside; one half alone does one half of the work.
    Raises Unsupported for a file without a VAE, Damaged for an incomplete one, Refused for one
    whose latents are not this model's.
    """
    with open_model(path) as file:
        sizes, tensors = read_vae(file)
        other = _other_half(path) if isinstance(sizes, TinyVAE) and _is_half(sizes) else None
        if not isinstance(sizes, TinyVAE) or other is None:
            return _network(path, sizes, tensors, model)
        with open_model(other) as beside:
            more, rest = read_vae(beside)
            if replace(sizes, encoder=sizes.decoder, decoder=sizes.encoder) == more:
                sizes, tensors = replace(sizes, encoder=True, decoder=True), tensors | rest
            return _network(path, sizes, tensors, model)


@contextmanager
def swapped(model: Model, network: Network) -> Generator[Network]:
    """Let another VAE work for the model; afterwards its own does again."""
    before = model.networks
    use_vae(model, network)
    try:
        yield network
    finally:
        model.networks = before


def use_vae(model: Model, network: Network) -> None:
    """Put a VAE in the place of the model's own, which is let go of unless somebody holds it."""
    others = (other for other in model.networks if other.role != "vae")
    model.networks = (*others, network)


def vae_network(model: Model) -> Network:
    """The VAE at work; raises Refused where the model has none."""
    for network in model.networks:
        if network.role == "vae":
            return network
    raise Refused(f"{model.path}: has no VAE, and none was given: name one with --vae")


def report(network: Network, choice: str) -> Applied:
    """What became of a VAE from a file of its own, and why it was chosen."""
    path = network.source or Path()
    count = len(network.module.state_dict())
    return Applied("vae", path.name, str(path), count, count, notes=(choice,) if choice else ())


def _is_half(sizes: TinyVAE) -> bool:
    return not (sizes.encoder and sizes.decoder)


def _other_half(path: Path) -> Path | None:
    """The file that holds what this one lacks: taesd_encoder.pth beside taesd_decoder.pth."""
    for word, other in HALVES:
        if word in path.name:
            beside = path.with_name(path.name.replace(word, other))
            return beside if is_file(beside) else None
    return None


def _network(path: Path, sizes: Sizes, tensors: Mapping[str, Tensor], model: Model) -> Network:
    _refuse_strangers(path, sizes, model)
    module = build(sizes)
    where = model.placement
    fill(module, tensors, device=where.device, dtype=where.vae_dtype, source=path)
    module.eval().requires_grad_(False)
    for name, weight in module.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise Damaged(path, f"{escape(name)} holds NaN or infinite numbers in {weight.dtype}")
    return Network("vae", PREFIX, module, sizes, path)


def _refuse_strangers(path: Path, sizes: Sizes, model: Model) -> None:
    wanted = model.unet_sizes.outputs
    if sizes.latent != wanted:
        raise Refused(
            f"{escape(str(path))}: is a VAE for latents of {sizes.latent} channels, and this "
            f"model's have {wanted}"
        )
    own = next((n.sizes for n in model.networks if n.role == "vae"), VAE())
    if factor(sizes) != factor(own):
        raise Refused(
            f"{escape(str(path))}: is a VAE that makes {factor(sizes)}×{factor(sizes)} pixels of "
            f"each in the latent, and this model's makes {factor(own)}×{factor(own)}"
        )
