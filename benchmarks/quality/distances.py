"""How far pictures are from one another, and which of many is the nearest.

Pictures are compared at 16 × 16 pixels, which are averages. Tried on 443 subjects of the starter:
averages at 64, 32, 16 and 8 pixels and latents of the VAE all find every picture again behind the
VAE's round trip. Where it is moved by five pixels too, 32 × 32 finds 94 %, latents 98 %, 16 × 16
99 %; and the same subject in another style is found among five in 51, 49 and 54 %.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
"""(pictures, height, width, 3)"""
Floats = NDArray[np.float64]

SIDE = 16


def averaged(pictures: Images) -> Floats:
    """Pictures at 16 × 16 pixels: (n, 16, 16, 3), 0 … 255."""
    count, height, width, _ = pictures.shape
    blocks = pictures.reshape(count, SIDE, height // SIDE, SIDE, width // SIDE, 3)
    return blocks.mean((2, 4), dtype=np.float64)


def distances(pictures: Images, others: Images) -> Floats:
    """Root of the mean squared difference, in 255ths: (pictures, others).

    A mirrored picture is the same picture.
    """
    own, theirs = averaged(pictures), averaged(others)
    return np.minimum(_apart(own, theirs), _apart(own[:, :, ::-1], theirs))


def _apart(own: Floats, theirs: Floats) -> Floats:
    a, b = own.reshape(len(own), -1), theirs.reshape(len(theirs), -1)
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.sqrt(squares.clip(0) / a.shape[1])


def ranks(found: Floats, owners: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """How many other subjects are nearer to each picture than the one wanted; 0 is the best.

    found: (pictures, candidates); owners: the subject of each candidate, of which a subject may
    have several; wanted: the subject of each picture.
    """
    subjects = sorted(set(owners))
    place = {subject: number for number, subject in enumerate(subjects)}
    nearest = np.full((len(found), len(subjects)), np.inf)
    for column, owner in enumerate(owners):
        nearest[:, place[owner]] = np.minimum(nearest[:, place[owner]], found[:, column])
    own = nearest[np.arange(len(found)), [place[subject] for subject in wanted]]
    return [int(rank) for rank in (nearest < own[:, None]).sum(1)]
