"""The beta distribution: its cumulated probability, and the inverse of that."""

from __future__ import annotations

import math

_TINY = 1e-300
_ENOUGH = 1e-16


def cumulated(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for x in [0, 1], a and b above 0.

    Continued fraction 8.17.22 of the Digital Library of Mathematical Functions, evaluated as Lentz
    proposed; it converges quickly below the mean, and above it the symmetry 8.17.4 is used.
    """
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - cumulated(1.0 - x, b, a)
    front = a * math.log(x) + b * math.log1p(-x) - _log_beta(a, b)
    return math.exp(front) / (a * _fraction(x, a, b))


def quantile(p: float, a: float, b: float) -> float:
    """The x in [0, 1] with I_x(a, b) = p: Newton's method, kept between bounds that close in."""
    if p <= 0.0 or p >= 1.0:
        return 0.0 if p <= 0.0 else 1.0
    low, high = 0.0, 1.0
    x = 0.5
    while high - low > _ENOUGH:
        error = cumulated(x, a, b) - p
        low, high = (low, x) if error > 0 else (x, high)
        x_next = x - error / _density(x, a, b)
        if not low < x_next < high:
            x_next = (low + high) / 2
        if x_next == x or abs(x_next - x) <= _ENOUGH:
            return x_next
        x = x_next
    return x


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _density(x: float, a: float, b: float) -> float:
    return math.exp((a - 1) * math.log(x) + (b - 1) * math.log1p(-x) - _log_beta(a, b))


def _fraction(x: float, a: float, b: float) -> float:
    """1 + d₁ / (1 + d₂ / (1 + …))."""
    value = c = 1.0
    d = 0.0
    for n in range(1, 1000):
        m = n // 2
        if n % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / ((1.0 + term * d) or _TINY)
        c = (1.0 + term / c) or _TINY
        value *= c * d
        if abs(c * d - 1.0) < _ENOUGH:
            break
    return value
