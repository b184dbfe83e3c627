"""The fingerprint of a part's weights: 64 numbers that a change of container or type leaves alone.

What it is. Every matrix of the part, in float32, is projected on 64 directions of random signs (a
count sketch: Charikar, Chen and Farach-Colton 2002); signs follow from the tensor's name and the
place of the number alone. A matrix counts by its direction and by the logarithm of its size, each
matrix as much as any other. So the distance between two fingerprints estimates how far the weights
are apart: the root mean square, over all matrices, of |a - b| / |a|.

What is guaranteed. The same weights have the same fingerprint whatever the container, the spelling
of names, the order of tensors and the parts beside them. Rounding to a smaller type moves it by
about what ROUNDING says, and `tolerance` allows for twice that.

What is not. The estimate is good to about a tenth of itself. Biases and norms of known networks do
not count, nor single numbers, nor what only some spellings keep. Two parts that lack different
tensors are not compared. It proves nothing against somebody who wants to deceive: that is what
hashes are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Literal

COUNT = 64
"""numbers in a fingerprint"""

STEPS = 4096
"""steps to one unit; a unit is as far apart as a matrix is large"""

LIMIT = 0x7FFF
"""largest count of steps"""

DIGITS = 16
"""numbers that the short word shows, one hexadecimal digit each"""

CELL = 0.4
"""units that one digit of the word is wide"""

ROUNDING: Mapping[str, float] = {
    "F64": 0.0,
    "F32": 3e-8,
    "F16": 2.2e-4,
    "BF16": 1.7e-3,
    "Q8_0": 6e-3,
    "F8_E4M3": 4.2e-2,
    "F8_E5M2": 5.3e-2,
}
"""type → root mean square of the relative error of rounding normally distributed numbers to it,
which are as large as the weights of networks: most of F8_E4M3's are below its full precision"""

COARSE = 0.09
"""the same for every other type: blocks of four to six bits"""

FINEST = 2e-4
"""distance below which nothing is told: numbers are kept in steps"""

KIN = 0.7
"""distance up to which two models have a common ancestor; strangers are about 1.4 apart"""

Relation = Literal["same", "rounded", "kin", "strangers", "incomparable"]
"""same: the same weights, as far as their types tell · rounded: as far apart as a cast to BF16 and
back takes them · kin: one is trained or mixed from the other, or both have one ancestor ·
strangers · incomparable: other networks, or other tensors of one"""


def rounding(dtype: str) -> float:
    """Root mean square of the relative error of rounding to a type, known by its name."""
    return ROUNDING.get(dtype, COARSE)


def tolerance(dtype: str) -> float:
    """Distance up to which weights of a type can be the same as others, but for rounding."""
    return max(FINEST, 2 * rounding(dtype))


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of one part of a model."""

    role: str
    title: str
    network: str
    """the sort of network; only parts of one sort are compared"""
    dtype: str
    """type of most of its numbers"""
    tensors: int
    """tensors that count"""
    numbers: tuple[int, ...]
    """COUNT projections, in steps"""

    @property
    def word(self) -> str:
        """16 hexadecimal digits for the eye, four and four.

        Equal weights nearly always have one word: a cast to F16 changes it in one part of a
        hundred, to BF16 in one of twenty, and then a digit by one. Fine-tunes share most digits
        with what they come from. The distance decides, not the word.
        """
        digits = "".join(
            f"{min(15, max(0, int(number / STEPS // CELL) + 8)):x}"
            for number in self.numbers[:DIGITS]
        )
        return " ".join(digits[start : start + 4] for start in range(0, DIGITS, 4))

    @property
    def code(self) -> str:
        """The whole fingerprint as text: its version, and four hexadecimal digits per number."""
        return "1:" + "".join(f"{number & 0xFFFF:04x}" for number in self.numbers)

    def is_comparable(self, other: Fingerprint) -> bool:
        """True where the distance to `other` means something."""
        return (self.network, self.tensors) == (other.network, other.tensors) and self.tensors > 0

    def distance(self, other: Fingerprint) -> float:
        """How far two parts are apart, relative to their size; about 1.4 for strangers."""
        squares = sum((a - b) ** 2 for a, b in zip(self.numbers, other.numbers, strict=True))
        return sqrt(squares / COUNT) / STEPS

    def relation(self, other: Fingerprint) -> Relation:
        """What the distance means, given the types of both."""
        if not self.is_comparable(other):
            return "incomparable"
        distance = self.distance(other)
        if distance <= max(tolerance(self.dtype), tolerance(other.dtype)):
            return "same"
        if distance <= tolerance("BF16"):
            return "rounded"
        return "kin" if distance <= KIN else "strangers"

    def to_json(self) -> dict[str, str | int]:
        """The whole fingerprint for programs."""
        return {
            "role": self.role,
            "title": self.title,
            "network": self.network,
            "dtype": self.dtype,
            "tensors": self.tensors,
            "word": self.word,
            "code": self.code,
        }
