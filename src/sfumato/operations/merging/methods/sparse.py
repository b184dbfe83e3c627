"""Merges of what several models learned since a common base: trimmed, dropped, put to a vote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.operations.merging.chance import dropped, dropped_by_rank
from sfumato.operations.merging.methods.linear import shares_of
from sfumato.operations.merging.selection import smallest_kept
from sfumato.operations.merging.sums import slices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sfumato.operations.merging.method import Seed, Share, Weight, Weights


def ties(base: Tensor, *models: Tensor, density: Share = 0.2, scale: Weight = 1.0) -> Tensor:
    """TIES (Yadav et al. 2023): trim small changes, elect a sign by weight, average who agrees.

    density: share of each model's changes that is kept, the largest
    scale: how much of the result is added to the base

    Trimming keeps the numbers of each tensor that are largest without their sign; all that equal
    the last one kept stay too.
    """
    for model in models:
        model.sub_(base)
        _trim(model, smallest_kept(model, density))
    for here, *changes in slices(base, *models):
        here.add_(_elected(changes), alpha=scale)
    return base


def _trim(change: Tensor, threshold: float) -> None:
    """Zero for every number that is smaller without its sign."""
    for (piece,) in slices(change):
        piece.masked_fill_(piece.abs() < threshold, 0.0)


def _elected(changes: Sequence[Tensor]) -> Tensor:
    """The mean of those changes whose sign is that of the sum of all (section 4, steps 2 and 3)."""
    total = changes[0].clone()
    for change in changes[1:]:
        total.add_(change)
    sign = total.sign()
    total.zero_()
    voters = total.clone()
    for change in changes:
        agrees = (change.sign() == sign) & (change != 0)
        total.add_(change * agrees)
        voters.add_(agrees)
    return total.div_(voters.clamp_(min=1))


def dare(
    base: Tensor,
    *models: Tensor,
    drop: Share = 0.5,
    scale: Weight = 1.0,
    weights: Weights = (),
    seed: Seed = 0,
) -> Tensor:
    """DARE (Yu et al. 2023): drop changes by chance and enlarge the rest to make up for it.

    drop: share of each model's changes that is dropped
    scale: how much of the result is added to the base
    weights: one for each model; equal shares if not given
    seed: which changes are dropped, together with the tensor's name
    """
    for number, (model, share) in enumerate(
        zip(models, shares_of(weights, len(models)), strict=True)
    ):
        dropped(model.sub_(base), drop, seed, number).mul_(share)
    for model in models:
        base.add_(model, alpha=scale)
    return base


def dare_ties(
    base: Tensor, *models: Tensor, drop: Share = 0.5, scale: Weight = 1.0, seed: Seed = 0
) -> Tensor:
    """DARE's dropping in place of TIES' trimming, then TIES' vote.

    drop: share of each model's changes that is dropped
    scale: how much of the result is added to the base
    seed: which changes are dropped, together with the tensor's name
    """
    for number, model in enumerate(models):
        dropped(model.sub_(base), drop, seed, number)
    for here, *changes in slices(base, *models):
        here.add_(_elected(changes), alpha=scale)
    return base


def della(
    base: Tensor,
    *models: Tensor,
    drop: Share = 0.5,
    spread: Share = 0.2,
    scale: Weight = 1.0,
    seed: Seed = 0,
) -> Tensor:
    """DELLA (Deep et al. 2024): DARE with small changes dropped more often, then TIES' vote.

    drop: share of each model's changes that is dropped
    spread: how much likelier the smallest change of a row is dropped than its largest
    scale: how much of the result is added to the base
    seed: which changes are dropped, together with the tensor's name
    """
    for number, model in enumerate(models):
        dropped_by_rank(model.sub_(base), drop, spread, seed, number)
    for here, *changes in slices(base, *models):
        here.add_(_elected(changes), alpha=scale)
    return base
