"""Brownian motion of each picture over the noise levels: what SDE samplers add.

Two steps over the same levels get the same noise, however they are divided. The tree of seeds is
that of torchsde 0.2.6, so that the pictures of k-diffusion's samplers come out again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sfumato.engine.noise.generators import generator
from sfumato.engine.request import Rng

_DIGITS = 6
"""decimals to which times are rounded"""
_POOL = 24
"""words of numpy's pool of entropy"""

Draw = Callable[[int], Tensor]
"""seed → normal noise"""


class _Node(NamedTuple):
    """A stretch of time: the whole is node 0 of depth 0, halves are 2k and 2k + 1."""

    path: int
    depth: int
    start: float
    end: float

    def halves(self) -> tuple[_Node, _Node]:
        middle = round((self.start + self.end) / 2, _DIGITS)
        path, depth = 2 * self.path, self.depth + 1
        return (
            _Node(path, depth, self.start, middle),
            _Node(path + 1, depth, middle, self.end),
        )


class BrownianTree:
    """One path of Brownian motion between two times, refined where it is asked about."""

    def __init__(self, entropy: int, start: float, end: float, draw: Draw) -> None:
        self._entropy = entropy & ((1 << 64) - 1)
        self._draw = draw
        self._root = _Node(0, 0, round(start, _DIGITS), round(end, _DIGITS))
        seed = np.random.SeedSequence(self._entropy, pool_size=_POOL).generate_state(1)[0]
        self._whole = draw(int(seed)) * math.sqrt(end - start)
        self._kept: dict[tuple[int, int], Tensor] = {}
        self._seen: dict[tuple[int, int], Tensor] = {}

    def increment(self, start: float, end: float) -> Tensor:
        """How far the path moves from `start` to a later `end`, both brought inside the tree."""
        borders = (
            max(round(start, _DIGITS), self._root.start),
            min(round(end, _DIGITS), self._root.end),
        )
        self._seen = {}
        parts = self._within(self._root, self._whole, borders)
        # The next question is about the neighbourhood: what lies on the way there is kept.
        self._kept = self._seen
        return sum(parts[1:], start=parts[0]) if parts else torch.zeros_like(self._whole)

    def _within(self, node: _Node, moved: Tensor, borders: tuple[float, float]) -> list[Tensor]:
        """Increments of the largest nodes that make up the part of `node` between the borders."""
        start, end = borders
        if end <= node.start or node.end <= start:
            return []
        if start <= node.start and node.end <= end:
            return [moved]
        left, right = node.halves()
        before = self._left(node, moved, left.end)
        return [
            *self._within(left, before, borders),
            *self._within(right, moved - before, borders),
        ]

    def _left(self, node: _Node, moved: Tensor, middle: float) -> Tensor:
        """The increment of a node's first half: a bridge to where the node ends."""
        key = (node.path, node.depth)
        if key not in self._kept:
            seeds = np.random.SeedSequence(self._entropy, spawn_key=key, pool_size=_POOL)
            noise = self._draw(int(seeds.generate_state(1)[0]))
            first, second, whole = middle - node.start, node.end - middle, node.end - node.start
            deviation = math.sqrt(first * second / whole)
            self._kept[key] = moved * (first / whole) + noise * deviation
        self._seen[key] = self._kept[key]
        return self._kept[key]


def brownian(
    seeds: Sequence[int],
    shape: Sequence[int],
    sigmas: Tensor,
    rng: Rng = "NV",
    *,
    device: torch.device | None = None,
) -> Callable[[Tensor, Tensor], Tensor]:
    """(sigma, next sigma) → unit noise (b, *shape) for the step between them.

    seeds: of the pictures. shape: (channels, h, w). sigmas: the whole schedule, also where only a
    part of it is run; its largest and its smallest positive value bound the motion.
    """
    place = device or torch.device("cpu")
    start, end = float(sigmas[sigmas > 0].min()), float(sigmas.max())

    def draw(seed: int) -> Tensor:
        return generator(seed, rng, place).randn(shape)

    trees = [BrownianTree(seed, start, end, draw) for seed in seeds]

    def noise(sigma: Tensor, sigma_next: Tensor) -> Tensor:
        high, low = float(sigma), float(sigma_next)
        sign = -1.0 if low < high else 1.0
        moved = [tree.increment(min(low, high), max(low, high)) for tree in trees]
        return (torch.stack(moved) * (sign / math.sqrt(abs(high - low)))).to(place)

    return noise
