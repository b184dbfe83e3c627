"""The beta distribution: its cumulated probability, and the inverse of that."""

from __future__ import annotations

import math

_TINY = 1e-300
_ENOUGH = 1e-15
_LOG_HALF = math.log(0.5)


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
    """The x in [0, 1] with I_x(a, b) = p."""
    if p <= 0.0 or p >= 1.0:
        return 0.0 if p <= 0.0 else 1.0
    if p > cumulated(0.5, a, b):
        return 1.0 - _lower(1.0 - p, b, a)
    return _lower(p, a, b)


def _lower(p: float, a: float, b: float) -> float:
    """A quantile of at most 1/2, by Newton's method for ln I as a function of ln x.

    That is a line where x is small, which gives the first guess, and bends down from it: steps from
    the left never go too far.
    """
    log_p = math.log(p)
    u = min((log_p + math.log(a) + _log_beta(a, b)) / a, _LOG_HALF)
    for _ in range(100):
        x = math.exp(u)
        found = cumulated(x, a, b)
        step = (math.log(found) - log_p) * found / (x * _density(x, a, b)) if found else -0.1
        u = min(u - step, _LOG_HALF)
        if abs(step) < _ENOUGH:
            break
    return math.exp(u)


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
