"""A checkpoint's tensors with another VAE, whole, in the place of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sfumato.catalogue.component import Match
from sfumato.catalogue.layouts import VAE_DIFFUSERS, VAE_LDM, VAE_OLD_DIFFUSERS
from sfumato.catalogue.numbers.health import examine
from sfumato.catalogue.spelling.translation import to_diffusers
from sfumato.catalogue.survey import survey
from sfumato.catalogue.trees.unet import UNet
from sfumato.catalogue.trees.vae import VAE
from sfumato.containers.model_file import ModelFile
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.containers.text import escape
from sfumato.errors import Damaged, Refused, Unsupported
from sfumato.operations.plan import Dropped
from sfumato.operations.vae_file import factor, read_vae

PLACES: Mapping[str, str] = {"model.diffusion_model.": "first_stage_model.", "unet.": "vae."}
"""prefix of a checkpoint's UNet → prefix of its VAE"""

CONFIG = "vae/config.json"
"""key of a folder's settings of its VAE, which a lone VAE's folder calls config.json"""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A checkpoint with another VAE."""

    tensors: dict[str, Tensor]
    names: frozenset[str]
    """of the new VAE's tensors"""
    metadata: dict[str, str]
    """the checkpoint's, with the settings of the new VAE in place of those of the old"""
    dropped: tuple[Dropped, ...]
    """the old VAE"""


def replace_vae(model: ModelFile, tensors: Tensors, vae: ModelFile) -> Replaced:
    """Put the VAE of one file in the place of another's; its numbers are read to see them sound.

    tensors: those of `model`, some of them perhaps changed already. The names follow the spelling
    of `model`. Raises Refused where it would not fit, Damaged where it is broken itself.
    """
    sizes, own = read_vae(vae)
    if not isinstance(sizes, VAE):
        raise Refused(f"{vae.path}: is a TAESD, which programs do not look for in a checkpoint")
    if not (sizes.encoder and sizes.decoder):
        raise Refused(f"{vae.path}: is half a VAE; a checkpoint has a whole one")
    place, old = _place(model)
    _refuse_misfit(model, vae, sizes, old)
    _refuse_broken(vae.path, own)
    if place.spelling == "diffusers":
        own = to_diffusers({name: tensor.shape for name, tensor in own.items()}).apply(own)
    new = {place.prefix + name: tensor for name, tensor in own.items()}
    gone = {old.prefix + name for name in old.found} if old is not None else set[str]()
    kept = {name: tensor for name, tensor in tensors.items() if name not in gone}
    return Replaced(
        {**kept, **new},
        frozenset(new),
        _settings(model, vae),
        tuple(Dropped(n, "the VAE that it had", model[n].nbytes) for n in model if n in gone),
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a VAE goes."""

    prefix: str
    spelling: str
    """ldm or diffusers"""


def _place(model: ModelFile) -> tuple[Place, Match | None]:
    """Where the VAE of a checkpoint is, and the VAE that is there."""
    found = survey({name: tensor.shape for name, tensor in model.items()}).matches
    unet = next((match for match in found if isinstance(match.sizes, UNet)), None)
    if unet is None or not unet.prefix:
        what = "a lone UNet" if unet is not None else "no checkpoint"
        raise Refused(
            f"{model.path}: is {what}, in which a VAE has no place; `sfumato join` puts parts "
            "together"
        )
    layouts = (VAE_LDM.name, VAE_DIFFUSERS.name, VAE_OLD_DIFFUSERS.name)
    whole = [m for m in found if m.role == "vae" and m.layout in layouts]
    old = max(whole, key=lambda match: len(match.found), default=None)
    if old is not None:
        return Place(old.prefix, "ldm" if old.layout == VAE_LDM.name else "diffusers"), old
    start = next((start for start in PLACES if unet.prefix.endswith(start)), "")
    if not start:
        raise Unsupported(
            model.path, f"its UNet is at {escape(unet.prefix)}, where no place of a VAE is known"
        )
    outer = unet.prefix.removesuffix(start)
    return Place(outer + PLACES[start], "diffusers" if start == "unet." else "ldm"), None


def _refuse_misfit(model: ModelFile, vae: ModelFile, sizes: VAE, old: Match | None) -> None:
    found = survey({name: tensor.shape for name, tensor in model.items()}).matches
    latent = next(m.sizes.outputs for m in found if isinstance(m.sizes, UNet))
    if sizes.latent != latent:
        raise Refused(
            f"{vae.path}: is a VAE for latents of {sizes.latent} channels, and those of "
            f"{model.path} have {latent}"
        )
    usual = factor(old.sizes if old is not None else VAE())
    if factor(sizes) != usual:
        raise Refused(
            f"{vae.path}: is a VAE that makes {factor(sizes)}×{factor(sizes)} pixels of each in "
            f"the latent, and {model.path} wants {usual}×{usual}"
        )


def _refuse_broken(path: Path, tensors: Tensors) -> None:
    """A broken VAE would travel into every file that is made from this one."""
    health = examine(tensors)
    if not health.sound:
        raise Damaged(path, f"its VAE is broken: {next(health.sentences())}")


def _settings(model: ModelFile, vae: ModelFile) -> dict[str, str]:
    """Settings of a folder's VAE go with it; none are better than another's."""
    kept = {key: text for key, text in model.metadata.items() if key != CONFIG}
    text = vae.metadata.get(CONFIG) or vae.metadata.get("config.json")
    return {**kept, CONFIG: text} if text else kept
