"""Which pictures make up each batch of a run: a function of the seed and of the batch's number."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from sfumato.training.randomness import shuffled


class Draw(NamedTuple):
    """One picture of one batch."""

    item: int
    """number of the item"""
    sample: int
    """number of the draw in the run, which everything random about it depends on"""


class Order:
    """The batches of a run.

    Every epoch draws each item as often as it repeats, in a new order; a batch holds items of one
    group only, because their sizes must agree, and a group's last batch is filled from its start.
    """

    def __init__(
        self, groups: Sequence[Hashable], repeats: Sequence[int], batch: int, seed: int
    ) -> None:
        self.batch = batch
        self.seed = seed
        self.draws = [item for item, count in enumerate(repeats) for _ in range(count)]
        self.groups = groups
        sizes: dict[Hashable, int] = {}
        for item in self.draws:
            sizes[groups[item]] = sizes.get(groups[item], 0) + 1
        self.batches = sum(-(-size // batch) for size in sizes.values())
        """batches in an epoch"""
        self._epoch: tuple[int, list[list[int]]] = (-1, [])

    def at(self, number: int) -> list[Draw]:
        """The draws of batch `number` of the run, from 0."""
        epoch, index = divmod(number, self.batches)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._arrange(epoch))
        chosen = self._epoch[1][index]
        return [Draw(item, number * self.batch + place) for place, item in enumerate(chosen)]

    def _arrange(self, epoch: int) -> list[list[int]]:
        piles: dict[Hashable, list[int]] = {}
        for place in shuffled(len(self.draws), self.seed, "order", epoch):
            item = self.draws[place]
            piles.setdefault(self.groups[item], []).append(item)
        rows = [row for pile in piles.values() for row in self._cut(pile)]
        return [rows[i] for i in shuffled(len(rows), self.seed, "order", epoch, 1)]

    def _cut(self, pile: list[int]) -> list[list[int]]:
        rows = [pile[i : i + self.batch] for i in range(0, len(pile), self.batch)]
        lacking = self.batch - len(rows[-1])
        rows[-1] += [pile[i % len(pile)] for i in range(lacking)]
        return rows
