"""A VAE from a file of its own, in any layout, made to fit a loaded model."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from sfumato.catalogue.component import Match
from sfumato.catalogue.identify import identify
from sfumato.catalogue.layouts import (
    APPROX,
    TINY,
    TINY_DIFFUSERS,
    TINY_HALF,
    VAE_DIFFUSERS,
    VAE_LDM,
    VAE_OLD_DIFFUSERS,
)
from sfumato.catalogue.spelling.translation import to_ldm
from sfumato.catalogue.survey import survey
from sfumato.catalogue.trees.tiny_vae import STAGES, TinyVAE
from sfumato.catalogue.trees.vae import VAE
from sfumato.containers.model_file import ModelFile
from sfumato.containers.open import open_model
from sfumato.containers.source import is_file
from sfumato.containers.tensor import Tensor
from sfumato.containers.text import escape
from sfumato.engine.model import Model, Network
from sfumato.engine.networks.build import build
from sfumato.engine.networks.fill import fill
from sfumato.errors import Damaged, Refused, Unsupported
from sfumato.operations.applied import Applied

Sizes = VAE | TinyVAE

PREFIX = "first_stage_model."
"""what the keys of a checkpoint's VAE begin with"""

WHOLE = (VAE_LDM.name, VAE_DIFFUSERS.name, VAE_OLD_DIFFUSERS.name)
TINIES = (TINY.name, TINY_DIFFUSERS.name, TINY_HALF.name)

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
        sizes, tensors = _read(file)
        other = _other_half(path) if isinstance(sizes, TinyVAE) and _is_half(sizes) else None
        if not isinstance(sizes, TinyVAE) or other is None:
            return _network(path, sizes, tensors, model)
        with open_model(other) as beside:
            more, rest = _read(beside)
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


def factor(sizes: object) -> int:
    """Pixels of a picture per pixel of the latent, along one side."""
    if isinstance(sizes, TinyVAE):
        return 1 << (STAGES - 1)
    return sizes.factor if isinstance(sizes, VAE) else 8


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


def _read(file: ModelFile) -> tuple[Sizes, dict[str, Tensor]]:
    """Sizes, and tensors by their original names without a prefix."""
    found = survey({name: tensor.shape for name, tensor in file.items()})
    own = [match for match in found.matches if match.role == "vae"]
    whole = [match for match in own if match.layout in WHOLE]
    tiny = [match for match in own if match.layout in TINIES]
    if not whole and not tiny:
        raise Unsupported(file.path, _strange(file, own))
    if whole:
        match = max(whole, key=lambda match: len(match.found))
        _refuse_faults(file.path, match)
        assert isinstance(match.sizes, VAE)
        return match.sizes, _original(file, match)
    for match in tiny:
        _refuse_faults(file.path, match)
    return _joined(file, tiny)


def _strange(file: ModelFile, matches: list[Match]) -> str:
    if any(match.layout == APPROX.name for match in matches):
        return "is VAE-approx, which gives previews and no pictures"
    verdict = identify(file, metadata=file.metadata, extras=file.extras, stem=file.path.stem)
    return f"holds no VAE: {verdict.title or 'it is of an unknown kind'}"


def _refuse_faults(path: Path, match: Match) -> None:
    for name in match.missing:
        more = f" and {len(match.missing) - 1} more" if len(match.missing) > 1 else ""
        raise Damaged(path, f"its {match.title} lacks {escape(match.prefix + name)}{more}")
    for name, (found, expected) in match.reshaped.items():
        raise Damaged(
            path, f"{escape(match.prefix + name)} is {list(found)}, expected {list(expected)}"
        )


def _original(file: ModelFile, match: Match) -> dict[str, Tensor]:
    bare = {name: file[match.prefix + name] for name in match.found}
    if match.layout == VAE_LDM.name:
        return bare
    return to_ldm({name: tensor.shape for name, tensor in bare.items()}).apply(bare)


def _joined(file: ModelFile, matches: list[Match]) -> tuple[Sizes, dict[str, Tensor]]:
    """TAESD: one match, or its two halves in one file (ComfyUI's `taesd_decoder.`)."""
    tensors: dict[str, Tensor] = {}
    kinds = [match.sizes for match in matches if isinstance(match.sizes, TinyVAE)]
    for match in matches:
        for name in match.found:
            tensors[_tiny_name(match, name)] = file[match.prefix + name]
    first = kinds[0]
    encoder, decoder = any(k.encoder for k in kinds), any(k.decoder for k in kinds)
    return TinyVAE(first.latent, first.width, encoder, decoder, first.pooled), tensors


def _tiny_name(match: Match, name: str) -> str:
    """The original name: diffusers does not count the clamp before the decoder's first layer."""
    assert isinstance(match.sizes, TinyVAE)
    if match.layout == TINY_HALF.name:
        return f"{'encoder' if match.sizes.encoder else 'decoder'}.{name}"
    if match.layout == TINY_DIFFUSERS.name:
        half, _, number, rest = name.split(".", 3)
        return f"{half}.{int(number) + (half == 'decoder')}.{rest}"
    return name


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
