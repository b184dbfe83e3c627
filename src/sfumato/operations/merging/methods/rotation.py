"""Merges by singular vectors: one model turned onto the other, a difference of low rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from sfumato.operations.merging.method import Count, Share, Weight

WIDEST = 4096
"""rows or columns of a matrix, whichever are fewer, up to which it is turned"""

ROWS = 4096
"""rows that are worked on at a time"""


def rotate(a: Tensor, b: Tensor, *, alpha: Weight = 0.5, turn: Share = 0.0) -> Tensor:
    """B is turned so that it comes closest to A (Procrustes), then both are summed.

    alpha: share of B
    turn: how far the result is turned towards where B stood: 0 stays with A, 1 goes to B

    Matrices only, along their shorter side and about the mean of their vectors; vectors are summed
    as they are. The turn is the orthogonal matrix of Schönemann (1966) without reflections.
    """
    import torch

    if a.dim() < 2 or torch.equal(a, b):
        return a.lerp_(b, alpha)
    x, y = _tall(a), _tall(b)
    if x.shape[1] > WIDEST:
        return a.lerp_(b, alpha)
    middle_x, middle_y = x.mean(0), y.mean(0)
    rotation = _procrustes(y.T @ x - len(x) * torch.outer(middle_y, middle_x))
    back = _power(rotation.T, turn)
    middle = middle_x.lerp(middle_y, alpha)
    for start in range(0, len(x), ROWS):
        rows = slice(start, start + ROWS)
        mixed = (x[rows] - middle_x).lerp((y[rows] - middle_y) @ rotation, alpha)
        x[rows] = (mixed @ back if turn else mixed) + middle
    return a


def _tall(tensor: Tensor) -> Tensor:
    """A view as a matrix whose columns are the shorter side."""
    matrix = tensor.view(tensor.shape[0], -1)
    return matrix.T if matrix.shape[0] < matrix.shape[1] else matrix


def _procrustes(products: Tensor) -> Tensor:
    """The rotation R that brings y R closest to x, given y' x: U V', without a reflection."""
    import torch

    u, _, v = np.linalg.svd(products.numpy())
    if np.linalg.det(u) * np.linalg.det(v) < 0:
        u[:, -1] *= -1
    return torch.as_tensor(u @ v)


def _power(rotation: Tensor, share: float) -> Tensor:
    """A rotation by a share of every angle."""
    import torch

    if share in (0, 1):
        return rotation
    values, vectors = np.linalg.eig(rotation.numpy().astype(np.float64))
    turned = vectors * np.exp(1j * np.angle(values) * share)
    real = np.linalg.solve(vectors.T, turned.T).T.real
    return torch.as_tensor(real.astype(np.float32))


def add_low_rank(
    a: Tensor, b: Tensor, c: Tensor, *, alpha: Weight = 1.0, rank: Count = 64
) -> Tensor:
    """A + alpha times the strongest `rank` directions of B - C: what was learned, less its noise.

    alpha: how much of the difference
    rank: directions that are kept of each matrix; vectors are taken whole
    """
    import torch

    difference = b.sub_(c)
    if a.dim() < 2 or min(a.shape[0], a[0].numel()) <= rank:
        return a.add_(difference, alpha=alpha)
    x, target = _tall(difference), _tall(a)
    # Right singular vectors from the square of the shorter side, which is small.
    _, vectors = np.linalg.eigh((x.T @ x).numpy().astype(np.float64))
    strongest = torch.as_tensor(vectors[:, -rank:].astype(np.float32))
    for start in range(0, len(x), ROWS):
        rows = slice(start, start + ROWS)
        target[rows] += alpha * ((x[rows] @ strongest) @ strongest.T)
    return a
