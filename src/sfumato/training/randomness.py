"""Random numbers as a function of the seed, the purpose and the place, so that resuming is exact.

No generator is kept: whoever needs a number says what for (the stream) and where (step, sample),
and gets the same one in whatever order, after whatever interruption, on whatever device.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal, cast

import torch
from torch import Tensor

Stream = Literal[
    "order", "crop", "flip", "caption", "latent", "noise", "timestep", "offset", "dropout",
    "start", "validation", "hold-out",
]  # fmt: skip
"""what a number is for; two streams never share one"""


def number(seed: int, stream: Stream, *place: int) -> int:
    """A whole number in [0, 2^63) that depends on its arguments and on nothing else."""
    text = f"{seed}/{stream}/{'/'.join(map(str, place))}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def uniform(seed: int, stream: Stream, *place: int) -> float:
    """A number in [0, 1)."""
    return number(seed, stream, *place) / 2**63


def generator(seed: int, stream: Stream, *place: int) -> torch.Generator:
    """A fresh torch generator on the CPU."""
    return torch.Generator().manual_seed(number(seed, stream, *place))


def normal(shape: tuple[int, ...], seed: int, stream: Stream, *place: int) -> Tensor:
    """Standard normal numbers of `shape`, float32, on the CPU."""
    return torch.randn(shape, generator=generator(seed, stream, *place))


def shuffled(count: int, seed: int, stream: Stream, *place: int) -> list[int]:
    """The numbers 0 … count - 1 in a random order."""
    drawn = torch.randperm(count, generator=generator(seed, stream, *place))
    return cast("list[int]", drawn.tolist())  # pyright: ignore[reportUnknownMemberType]
