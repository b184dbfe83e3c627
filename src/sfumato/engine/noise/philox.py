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

Words = NDArray[np.uint64]


def normal(seed: int, call: int, count: int) -> NDArray[np.float32]:
    """The `count` numbers (count,) of the `call`th tensor, from 0, that a seed's generator draws.

    seed: its lowest 64 bits are used.
    """
    first, second = _words(seed, call, count)
    u = first * _UNIT + _UNIT / 2
    v = second * _TURN + _TURN / 2
    return (np.sqrt(-2.0 * np.log(u)) * np.sin(v)).astype(np.float32)


def _words(seed: int, call: int, count: int) -> tuple[Words, Words]:
    """Words 0 and 1 of the blocks whose counters are (call, 0, element, 0)."""
    key = [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF]
    a, b = np.full(count, call & 0xFFFFFFFF, np.uint64), np.zeros(count, np.uint64)
    c, d = np.arange(count, dtype=np.uint64), np.zeros(count, np.uint64)
    for _ in range(_ROUNDS):
        left, right = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (
            (right >> _HALF) ^ b ^ np.uint64(key[0]),
            right & _LOW,
            (left >> _HALF) ^ d ^ np.uint64(key[1]),
            left & _LOW,
        )
        key = [(k + step) & 0xFFFFFFFF for k, step in zip(key, _KEY_STEPS, strict=True)]
    return a, b
