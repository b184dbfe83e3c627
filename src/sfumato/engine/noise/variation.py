"""The noise of a batch of pictures: first noise, variations of it, and what samplers add."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sfumato.engine.noise.generators import Generator, generator
from sfumato.engine.request import Rng, Variation

_PARALLEL = 0.9995
"""cosine above which two noises are mixed in a straight line"""


def picture_seeds(
    seed: int, subseed: int, count: int, *, strength: float = 0.0
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Seeds and subseeds of `count` pictures: they count up; variations share one seed."""
    step = 0 if strength else 1
    return (
        tuple(seed + step * i for i in range(count)),
        tuple(subseed + i for i in range(count)),
    )


def slerp(share: float, low: Tensor, high: Tensor) -> Tensor:
    """Noise (c, h, w) on the arc from `low` to `high`, at `share` of it.

    As in AUTOMATIC1111's web UI, angles are taken along rows: one for each channel and column. Its
    straight line for noises that are nearly parallel had the weights swapped; here they are not.
    """
    cosine = functional.cosine_similarity(low, high, dim=1)  # (c, w)
    if cosine.mean() > _PARALLEL:
        return torch.lerp(low, high, share)
    omega = torch.acos(cosine)
    so = torch.sin(omega)
    from_low = (torch.sin((1.0 - share) * omega) / so).unsqueeze(1)
    from_high = (torch.sin(share * omega) / so).unsqueeze(1)
    return from_low * low + from_high * high


def paste(block: Tensor, onto: Tensor) -> Tensor:
    """`block` (c, h, w) in the middle of `onto`; where it is larger, its own middle is cut."""
    pasted = onto.clone()
    ours, theirs = [slice(None)], [slice(None)]
    for size, whole in zip(block.shape[1:], onto.shape[1:], strict=True):
        edge = (whole - size) // 2
        length = size if edge >= 0 else size + 2 * edge
        theirs.append(slice(max(edge, 0), max(edge, 0) + length))
        ours.append(slice(max(-edge, 0), max(-edge, 0) + length))
    pasted[tuple(theirs)] = block[tuple(ours)]
    return pasted


class PictureNoise:
    """The noise of pictures painted together: each picture's is what it would be alone."""

    def __init__(
        self,
        seeds: Sequence[int],
        subseeds: Sequence[int] = (),
        variation: Variation | None = None,
        rng: Rng = "NV",
        ensd: int = 0,
        *,
        device: torch.device | None = None,
    ) -> None:
        """subseeds: one for each seed, where `variation` has a strength.

        device: where the noise is wanted; it is drawn on the CPU, but for "GPU".
        """
        self.seeds, self.subseeds = tuple(seeds), tuple(subseeds)
        self._variation = variation or Variation()
        self._rng: Rng = rng
        self._ensd = ensd
        self._device = device or torch.device("cpu")
        self._generators = [self._fresh(seed) for seed in self.seeds]
        self._shape: tuple[int, ...] = ()

    def first(self, shape: Sequence[int]) -> Tensor:
        """The noise that painting starts from: (b, *shape), shape (channels, h, w).

        With `ensd` what is drawn afterwards comes from seeds of its own.
        """
        self._shape = tuple(shape)
        noises = [self._first(i) for i in range(len(self.seeds))]
        if self._ensd:
            self._generators = [self._fresh(seed + self._ensd) for seed in self.seeds]
        return torch.stack(noises).to(self._device)

    def next(self) -> Tensor:
        """More noise of the same shape: what a sampler adds."""
        return torch.stack([g.randn(self._shape) for g in self._generators]).to(self._device)

    def _fresh(self, seed: int) -> Generator:
        return generator(seed, self._rng, self._device)

    def _first(self, index: int) -> Tensor:
        variation, shape = self._variation, self._shape
        old = variation.resize_from
        resized = old is not None and min(old) > 0
        size = (shape[0], old[1] // 8, old[0] // 8) if old is not None and resized else shape
        whole = self._generators[index].randn(shape)
        noise = self._fresh(self.seeds[index]).randn(size) if size != shape else whole
        if variation.strength:
            other = self._fresh(self.subseeds[index]).randn(size)
            noise = slerp(variation.strength, noise, other)
        return paste(noise, whole) if size != shape else noise
