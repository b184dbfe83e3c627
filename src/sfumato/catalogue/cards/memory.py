"""The memory that painting with a checkpoint takes, computed from its shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sfumato.catalogue.cards.waste import PAINTING
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Need:
    """Memory for painting one picture at one precision."""

    dtype: str
    """F32, F16 or BF16"""
    weights: int
    """bytes of the UNet, the text encoders and the VAE at that precision"""
    working: int
    """estimated bytes of the largest intermediate results, which are the VAE decoder's"""

    @property
    def total(self) -> int:
        """Bytes in all."""
        return self.weights + self.working


PRECISIONS: tuple[tuple[str, int], ...] = (("F32", 4), ("F16", 2), ("BF16", 2))

WIDEST: tuple[str, ...] = (
    "decoder.up.0.block.0.conv1.weight",
    "decoder.up_blocks.3.resnets.0.conv1.weight",
)
"""the decoder's convolution that reads the most channels at full picture size, in both spellings"""

LIVE_MAPS = 3
"""feature maps of that width alive at once: the input, the normalised copy and the output"""


def needs(
    model: Mapping[str, Tensor], verdict: Verdict, *, pixels: int = 512 * 512
) -> tuple[Need, ...]:
    """What painting one picture of `pixels` pixels takes; empty for a file that cannot paint."""
    if not any(part.role in ("unet", "dit") for part in verdict.parts):
        return ()
    parameters = sum(part.parameters for part in verdict.parts if part.role in PAINTING)
    channels = _decoder_channels(model)
    return tuple(
        Need(name, parameters * size, LIVE_MAPS * channels * pixels * size)
        for name, size in PRECISIONS
    )


def _decoder_channels(model: Mapping[str, Tensor]) -> int:
    for name, tensor in model.items():
        if name.endswith(WIDEST) and len(tensor.shape) == 4:
            return tensor.shape[1]
    return 256  # the published VAEs' width: a checkpoint without a VAE is painted with one of them
