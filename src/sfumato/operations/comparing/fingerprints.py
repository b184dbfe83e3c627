"""The fingerprints of a model's parts, computed in one pass over its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import shake_128
from math import inf, log, sqrt
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfumato.catalogue.fingerprint import COUNT, LIMIT, STEPS, Fingerprint
from sfumato.catalogue.numbers.measure import BLOCK
from sfumato.catalogue.numbers.streams import floats
from sfumato.containers.arrays import Floats
from sfumato.containers.open import open_model
from sfumato.containers.parallel import in_order
from sfumato.containers.tensor import Tensor
from sfumato.operations.comparing.counting import BESIDE, counting
from sfumato.operations.comparing.sections import Section, sections

Progress = Callable[[int, int], None]
"""called with bytes done and bytes in all"""

Sums = NDArray[np.float64]

USUAL = 0.02
"""root mean square of a network's weights as they are initialised; sizes are told relative to it"""

LARGEST = 6.0
"""of the logarithm of a size"""


def fingerprints(
    path: str | PathLike[str], *, progress: Progress | None = None
) -> tuple[Fingerprint, ...]:
    """The fingerprint of every part of a model file or folder that holds weights.

    All numbers are read once, in pieces and on two threads. Raises what `open_model` and reading
    raise.
    """
    with open_model(Path(path)) as model:
        return fingerprints_of(sections(model), progress=progress)


def fingerprints_of(
    parts: Sequence[Section], *, progress: Progress | None = None
) -> tuple[Fingerprint, ...]:
    """`fingerprints` of parts that are already at hand; those that hold no weights are left out."""
    chosen = [(part, counting(part)) for part in parts if part.role not in BESIDE]
    tasks = [(name, tensor) for _, tensors in chosen for name, tensor in tensors.items()]
    total = sum(tensor.nbytes for _, tensor in tasks)
    sketches = _told(in_order(_task, tasks), tasks, total, progress)
    return tuple(
        _fingerprint(part, [next(sketches) for _ in tensors]) for part, tensors in chosen if tensors
    )


def _told(
    sketches: Iterator[Sums],
    tasks: Sequence[tuple[str, Tensor]],
    total: int,
    progress: Progress | None,
) -> Iterator[Sums]:
    done = 0
    for sketch, (_, tensor) in zip(sketches, tasks, strict=True):
        done += tensor.nbytes
        if progress is not None:
            progress(done, total)
        yield sketch


def _fingerprint(part: Section, sketches: Sequence[Sums]) -> Fingerprint:
    units = np.sum(sketches, axis=0) / sqrt(len(sketches))
    steps = np.clip(np.rint(units * STEPS), -LIMIT, LIMIT).astype(int)
    dtype = part.dtypes[0] if part.dtypes else ""
    numbers = tuple(int(step) for step in steps)
    return Fingerprint(part.role, part.title, part.network, dtype, len(sketches), numbers)


def _task(task: tuple[str, Tensor]) -> Sums:
    return sketch(*task)


def sketch(name: str, tensor: Tensor) -> Sums:
    """One tensor's part in a fingerprint: its direction, and the logarithm of its size.

    (COUNT,): the direction u = w / |w| as sums over every 64th number with random signs, times 8
    so that a unit vector gives numbers of size 1; and ln(rms(w) / USUAL) with random signs. Two
    tensors that are little apart give sketches whose mean squared difference is |a - b|² / |a|² on
    average over the signs. Numbers that are not finite count as zeros, and so does a tensor whose
    squares are more than a float holds.
    """
    sums, squares = np.zeros(COUNT), 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for index, values in enumerate(_whole_blocks(tensor)):
            squares += float(np.dot(values, values))
            sums += _signed(values, name, index).reshape(-1, COUNT).sum(axis=0)
    if not 0 < squares < inf:
        return np.zeros(COUNT)
    size = log(sqrt(squares / tensor.size) / USUAL)
    signs = np.where(_signs(f"{name}\nsize", COUNT), -1.0, 1.0)
    return sums * sqrt(COUNT / squares) + signs * min(LARGEST, max(-LARGEST, size))


def _whole_blocks(tensor: Tensor) -> Iterator[Floats]:
    """The numbers in blocks of BLOCK, however the file is cut; zeros fill the last one's row."""
    held = np.empty(BLOCK, "<f4")
    filled = 0
    for values in floats(tensor):
        while values.size:
            taken = values[: BLOCK - filled]
            held[filled : filled + taken.size] = taken
            filled += taken.size
            values = values[taken.size :]
            if filled == BLOCK:
                yield _finite(held)
                filled = 0
    if filled:
        end = -(-filled // COUNT) * COUNT
        held[filled:end] = 0
        yield _finite(held[:end])


def _finite(values: Floats) -> Floats:
    good = np.isfinite(values)
    return values if good.all() else np.where(good, values, np.float32(0))


def _signed(values: Floats, name: str, index: int) -> Floats:
    """The numbers, half of them negated."""
    signs = _signs(f"{name}\n{index}", values.size).astype("<u4")
    return (values.view("<u4") ^ (signs << 31)).view("<f4")


def _signs(seed: str, size: int) -> NDArray[np.uint8]:
    """(size,) zeros and ones, the same on every machine and in every version."""
    digest = shake_128(f"sfumato fingerprint 1\n{seed}".encode("utf-8", "replace"))
    return np.unpackbits(np.frombuffer(digest.digest(-(-size // 8)), np.uint8))[:size]
