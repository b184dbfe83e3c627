"""CUDA's normal random numbers, computed anywhere: Philox 4x32-10 and the Box-Muller transform.

Philox: Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3". That a tensor's element
takes the words 0 and 1 of its own counter is how CUDA draws tensors that fit one launch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 10
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_UNIT = 2.0**-32
_TURN = float(np.float32(2 * np.pi * 2.0**-32))
"""one 2³²nd of a turn; CUDA holds it in single precision"""

_PIECE = 8192
"""elements that are drawn at a time: what they need stays in the processor's cache"""

Words = NDArray[np.uint64]


def normal(seed: int, call: int, count: int) -> NDArray[np.float32]:
    """The `count` numbers (count,) of the `call`th tensor, from 0, that a seed's generator draws.

    seed: its lowest 64 bits are used.
    """
    drawn = np.empty(count, np.float32)
    for start in range(0, count, _PIECE):
        end = min(start + _PIECE, count)
        first, second = _words(seed, call, np.arange(start, end, dtype=np.uint64))
        u = first * _UNIT + _UNIT / 2
        v = second * _TURN + _TURN / 2
        drawn[start:end] = np.sqrt(-2.0 * np.log(u)) * np.sin(v)
    return drawn


def _words(seed: int, call: int, elements: Words) -> tuple[Words, Words]:
    """Words 0 and 1 of the blocks whose counters are (call, 0, element, 0)."""
    key = [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF]
    a, b = np.full_like(elements, call & 0xFFFFFFFF), np.zeros_like(elements)
    c, d = elements.copy(), np.zeros_like(elements)
    for _ in range(_ROUNDS):
        left, right = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        np.right_shift(right, _HALF, out=a)
        np.right_shift(left, _HALF, out=c)
        a ^= b
        c ^= d
        a ^= np.uint64(key[0])
        c ^= np.uint64(key[1])
        np.bitwise_and(right, _LOW, out=b)
        np.bitwise_and(left, _LOW, out=d)
        key = [(k + step) & 0xFFFFFFFF for k, step in zip(key, _KEY_STEPS, strict=True)]
    return a, b
