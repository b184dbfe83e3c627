"""Sources of normal noise: one generator for each picture, so that a batch changes nothing."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from sfumato.engine.noise.philox import normal
from sfumato.engine.request import Rng

SEEDS = 4294967294
"""seeds that are drawn lie below this, as in AUTOMATIC1111's web UI"""
_WORD = (1 << 64) - 1


class Generator(Protocol):
    """Draws noise, each call going on where the last one ended."""

    def randn(self, shape: Sequence[int]) -> Tensor:
        """Normal numbers of `shape`, float32, on the CPU."""
        ...


class PhiloxGenerator:
    """What a CUDA device draws, on any machine ("NV")."""

    def __init__(self, seed: int) -> None:
        self._seed, self._calls = seed, 0

    def randn(self, shape: Sequence[int]) -> Tensor:
        """The next tensor of this seed."""
        drawn = normal(self._seed, self._calls, math.prod(shape))
        self._calls += 1
        return torch.from_numpy(drawn).reshape(tuple(shape))  # pyright: ignore[reportUnknownMemberType]


class TorchGenerator:
    """What torch draws on a device ("CPU", "GPU")."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._generator = torch.Generator(device)
        self._generator.manual_seed(seed & _WORD)

    def randn(self, shape: Sequence[int]) -> Tensor:
        """The next tensor of this seed, drawn on the device and brought to the CPU."""
        device = self._generator.device
        drawn = torch.randn(
            tuple(shape), generator=self._generator, device=device, dtype=torch.float32
        )
        return drawn.cpu()


def generator(seed: int, rng: Rng = "NV", device: torch.device | None = None) -> Generator:
    """A fresh generator of `seed`.

    device: where "GPU" draws. Where that is no CUDA device "GPU" draws as "CPU" does, also on MPS,
    as AUTOMATIC1111's web UI has it.
    """
    if rng == "NV":
        return PhiloxGenerator(seed)
    cuda = rng == "GPU" and device is not None and device.type == "cuda"
    return TorchGenerator(seed, device if cuda and device is not None else torch.device("cpu"))


def draw_seed() -> int:
    """A seed that nobody chose."""
    return secrets.randbelow(SEEDS)
