"""The bytes of a model that can go without changing a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sfumato.catalogue.verdict import Verdict
from sfumato.containers.dtype import F32
from sfumato.containers.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Waste:
    """Something that could be dropped."""

    what: str
    """a few words for a person"""
    nbytes: int
    """bytes that dropping it frees"""
    lossless: bool
    """True where pictures stay bit for bit the same"""
    command: str
    """the `sfumato` arguments that do it, without the file names"""


ROLES: tuple[tuple[str, str, bool, str], ...] = (
    ("optimizer", "optimizer state", True, "prune"),
    ("training", "training bookkeeping", True, "prune"),
    ("loss", "training losses and discriminator", True, "prune"),
    ("buffers", "noise schedule tables", False, "prune --drop buffers"),
    ("unknown", "tensors of no known part", False, "prune --drop unknown"),
)
"""part role, what a person calls it, whether pictures stay the same, how to drop it"""


def waste(model: Mapping[str, Tensor], verdict: Verdict) -> tuple[Waste, ...]:
    """Everything in `model` that painting does not need, the largest first."""
    found = [*_by_role(verdict), *_averages(verdict), *_bloat(model), *_precision(model, verdict)]
    return tuple(sorted((w for w in found if w.nbytes), key=lambda w: -w.nbytes))


def _by_role(verdict: Verdict) -> list[Waste]:
    if verdict.kind == "unknown":
        return []
    sizes: dict[str, int] = {}
    for part in verdict.parts:
        sizes[part.role] = sizes.get(part.role, 0) + part.nbytes
    return [
        Waste(title, sizes.get(role, 0), lossless, command)
        for role, title, lossless, command in ROLES
    ]


def _averages(verdict: Verdict) -> list[Waste]:
    """A second UNet: which of the two goes is the user's choice, so neither is lossless to drop."""
    averages = [part for part in verdict.parts if part.role == "ema"]
    if not averages or not any(part.role == "unet" for part in verdict.parts):
        return []
    size = sum(part.nbytes for part in averages)
    return [Waste("one of the two UNets (trained and averaged)", size, False, "ema --use")]


def _bloat(model: Mapping[str, Tensor]) -> list[Waste]:
    """Bytes of storages that no tensor looks at: views saved with their whole base."""
    storages: dict[str, int] = {}
    used: dict[str, int] = {}
    for tensor in model.values():
        if tensor.origin is None or tensor.origin.encoding:
            continue
        key = tensor.origin.storage
        storages[key] = tensor.origin.storage_nbytes
        used[key] = used.get(key, 0) + tensor.nbytes
    size = sum(max(0, nbytes - used[key]) for key, nbytes in storages.items())
    return [Waste("storage that no tensor uses (views saved whole)", size, True, "convert")]


PAINTING = frozenset({"unet", "dit", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"})
"""roles of the parts that paint"""


def _precision(model: Mapping[str, Tensor], verdict: Verdict) -> list[Waste]:
    names = (name for part in verdict.parts if part.role in PAINTING for name in part.names)
    wide = sum(model[name].nbytes for name in names if model[name].dtype is F32)
    return [Waste("half of every fp32 number", wide // 2, False, "convert --dtype f16")]
