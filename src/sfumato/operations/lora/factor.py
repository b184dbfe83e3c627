"""A matrix as a product of two thin ones: the best of its rank, or nearly so, with its error."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

ITERATIONS = 2
"""powers of W Wᵀ that the sketch is multiplied by. With as many spare columns as there are ranks,
the error stays within 1 % of the smallest possible even where all singular values are alike"""

DENSE = 2
"""a sketch whose width times this reaches the matrix's smaller side costs as much as all of it"""

TINY = 2.0**-24
"""singular values below this share of the largest are float32's rounding"""

PIECE = 1 << 14
"""numbers whose sum is exact enough in float32; that of millions is not"""


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """W (m, n) ≈ left · diag(values) · right, in float32."""

    left: Tensor
    """(m, k) with orthonormal columns"""
    values: Tensor
    """(k) singular values, the largest first"""
    right: Tensor
    """(k, n) with orthonormal rows"""
    square: float
    """‖W‖², the sum of the squares of all numbers"""
    rest: float
    """‖W − left · diag(values) · right‖², measured"""

    @property
    def rank(self) -> int:
        """Singular values that there are."""
        return len(self.values)

    def error(self, rank: int) -> float:
        """‖W − its first `rank` ranks‖ / ‖W‖; 0 for a matrix of zeros."""
        dropped = float(self.values[rank:].double().square().sum())
        return sqrt((self.rest + dropped) / self.square) if self.square else 0.0

    def halves(self, rank: int) -> tuple[Tensor, Tensor]:
        """up (m, rank) and down (rank, n), each with the square root of the singular values.

        Numbers of one size in both, so that neither leaves the range of a narrow float.
        """
        roots = self.values[:rank].sqrt()
        return self.left[:, :rank] * roots, roots[:, None] * self.right[:rank]


def factorise(matrix: Tensor, rank: int, *, exact: bool = False, seed: int = 0) -> Factors:
    """The first `rank` singular values and vectors of a matrix (m, n).

    exact: by a full singular value decomposition, and so the best approximation there is (Eckart
    and Young 1936). Otherwise by random projection, where that is cheaper; the same seed gives the
    same numbers. Raises ValueError for a rank below 1, or numbers that are not finite.
    """
    if rank < 1:
        raise ValueError(f"a rank of {rank}")
    matrix = matrix.float()
    square = squared(matrix)
    if square - square != 0:
        raise ValueError("numbers that are not finite")
    rank = min(rank, *matrix.shape)
    if exact or 2 * rank * DENSE >= min(matrix.shape):
        left, values, right = _svd(matrix)
    else:
        left, values, right = _sketched(matrix, rank, seed)
    found = left[:, :rank], values[:rank], right[:rank]
    return Factors(*found, square, _rest(matrix, *found))


def squared(values: Tensor) -> float:
    """‖values‖² in float64, without a copy of all numbers in that type."""
    flat = values.reshape(-1)
    total = 0.0
    for start in range(0, len(flat), PIECE):
        piece = flat[start : start + PIECE]
        total += float(torch.dot(piece, piece))
    return total


def _svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    found: tuple[Tensor, Tensor, Tensor] = torch.linalg.svd(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        matrix, full_matrices=False
    )
    return found[0], found[1], found[2]  # pyright: ignore[reportUnknownVariableType]


def _sketched(matrix: Tensor, rank: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Halko, Martinsson and Tropp 2011 (https://arxiv.org/abs/0909.4061), algorithms 4.4 and 5.1.

    Q spans what W makes of random vectors, turned towards the largest singular vectors by powers of
    W Wᵀ; the small matrix Qᵀ W is decomposed exactly. As QQᵀ projects, what is left of W is
    ‖W‖² less the squares of the values that are kept.
    """
    omega = torch.randn(matrix.shape[1], 2 * rank, generator=torch.Generator().manual_seed(seed))
    q = orthonormal(matrix @ omega)
    for _ in range(ITERATIONS):
        q = orthonormal(matrix.mT @ q)
        q = orthonormal(matrix @ q)
    left, values, right = _thin(q.mT @ matrix)
    return q @ left, values, right


def _thin(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The singular value decomposition of few long rows (k, n), by the eigenvalues of B Bᵀ.

    A fifth of the time of a direct one. Squaring halves the digits, and float64 has twice those
    of float32.
    """
    wide = rows.double()
    squares, vectors = _eigh(wide @ wide.mT)
    values, left = squares.clamp(min=0).sqrt().float(), vectors.float()
    least = max(float(values[0]) * TINY, torch.finfo(torch.float32).tiny)
    return left, values, left.mT @ rows / values.clamp(min=least)[:, None]


def _eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues of a symmetric matrix, the largest first, and its eigenvectors."""
    found: tuple[Tensor, Tensor] = torch.linalg.eigh(matrix)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    values: Tensor = found[0]  # pyright: ignore[reportUnknownVariableType]
    vectors: Tensor = found[1]  # pyright: ignore[reportUnknownVariableType]
    return values.flip(0), vectors.flip(1)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]


def orthonormal(columns: Tensor) -> Tensor:
    """An orthonormal basis (m, k) of what columns (m, k ≤ m) span."""
    return _qr(columns)[0]


def _qr(columns: Tensor) -> tuple[Tensor, Tensor]:
    found: tuple[Tensor, Tensor] = torch.linalg.qr(columns)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return found[0], found[1]  # pyright: ignore[reportUnknownVariableType]


def _rest(matrix: Tensor, left: Tensor, values: Tensor, right: Tensor) -> float:
    return squared(torch.addmm(matrix, left * values, right, alpha=-1))


def of_product(up: Tensor, down: Tensor) -> Factors:
    """The singular values and vectors of up · down, (m, k) and (k, n), without multiplying them.

    Exact: W = (Q₁ R₁)(Q₂ R₂)ᵀ has the singular values of the small R₁ R₂ᵀ. In float64, so that the
    product of the result is the product of the factors to float32's last digit.
    """
    up, down = up.double(), down.double()
    (q1, r1), (q2, r2) = _qr(up), _qr(down.mT)
    left, values, right = _svd(r1 @ r2.mT)
    square = float(values.square().sum())
    found = (q1 @ left).float(), values.float(), (right @ q2.mT).float()
    return Factors(*found, square, 0.0)


def difference(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """‖up₁ down₁ − up₂ down₂‖² and ‖up₁ down₁‖², without multiplying any of them, in float64."""
    up, down = first[0].double(), first[1].double()
    ups = torch.cat((up, -second[0].double()), dim=1)
    downs = torch.cat((down, second[1].double()))
    # ‖A B‖² is the sum over (AᵀA) ∘ (B Bᵀ): both are as small as the ranks.
    apart = float(((ups.mT @ ups) * (downs @ downs.mT)).sum().clamp(min=0))
    whole = float(((up.mT @ up) * (down @ down.mT)).sum().clamp(min=0))
    return apart, whole
