"""The VAE in a file: bare, in a checkpoint or in a training state, under its original names."""

from __future__ import annotations

from pathlib import Path

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
from sfumato.containers.tensor import Tensor
from sfumato.containers.text import escape
from sfumato.errors import Damaged, Unsupported

Sizes = VAE | TinyVAE

WHOLE = (VAE_LDM.name, VAE_DIFFUSERS.name, VAE_OLD_DIFFUSERS.name)
TINIES = (TINY.name, TINY_DIFFUSERS.name, TINY_HALF.name)


def factor(sizes: object) -> int:
    """Pixels of a picture per pixel of the latent, along one side."""
    if isinstance(sizes, TinyVAE):
        return 1 << (STAGES - 1)
    return sizes.factor if isinstance(sizes, VAE) else 8


def read_vae(file: ModelFile) -> tuple[Sizes, dict[str, Tensor]]:
    """Sizes, and tensors by their original names without a prefix; nothing is read.

    Raises Unsupported for a file without a VAE, Damaged for an incomplete one.
    """
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
