"""Factors laid aside on disk until all ranks are chosen: an unnamed file beside the output."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import torch
from torch import Tensor

from sfumato.containers.arrays import from_float32
from sfumato.containers.atomic import translated
from sfumato.containers.dtype import F32
from sfumato.operations.lora.factor import Factors
from sfumato.operations.lora.ranks import Spectrum

ITEM = 4
"""bytes of a float32"""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A float32 matrix that lies in a spool."""

    spool: Spool
    offset: int
    rows: int
    columns: int

    def first(self, rows: int) -> Tensor:
        """Its first rows (rows, columns)."""
        return self.spool.read(self.offset, rows, self.columns)


@dataclass(frozen=True, slots=True, eq=False)
class Laid:
    """One layer's factors: all that is known of it until its rank is chosen."""

    up: Kept
    """(k, m): transposed, so that ranks are rows"""
    down: Kept
    """(k, n)"""
    values: tuple[float, ...]
    square: float
    """‖ΔW‖²"""
    rest: float
    """what all k ranks leave of it"""

    @property
    def spectrum(self) -> Spectrum:
        """What there is to choose from."""
        return Spectrum(self.values, self.square, self.up.columns + self.down.columns)

    def left(self, rank: int) -> float:
        """‖ΔW − its first `rank` ranks‖²."""
        return self.rest + sum(value * value for value in self.values[rank:])


class Spool:
    """Room for factors of any number; it is gone when it is closed, whatever happens."""

    def __init__(self, folder: Path) -> None:
        """Raises Refused where nothing can be written in `folder`."""
        self._folder = folder
        with translated(folder, 0):
            self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._lock = threading.Lock()
        self._end = 0

    def lay(self, found: Factors) -> Laid:
        """Lay a layer's factors aside; several threads may at once. Raises NoRoom."""
        up, down = found.halves(found.rank)
        values = tuple(float(value) for value in found.values)
        return Laid(self._keep(up.mT), self._keep(down), values, found.square, found.rest)

    def _keep(self, matrix: Tensor) -> Kept:
        data = from_float32(matrix.numpy(), F32)
        with self._lock, translated(self._folder, self._end + len(data)):
            offset = self._end
            self._file.seek(offset)
            self._file.write(data)
            self._end += len(data)
        return Kept(self, offset, matrix.shape[0], matrix.shape[1])

    def read(self, offset: int, rows: int, columns: int) -> Tensor:
        """Rows of a matrix that was laid aside."""
        with self._lock:
            self._file.seek(offset)
            data = bytearray(self._file.read(rows * columns * ITEM))
        return torch.from_numpy(np.frombuffer(data, "<f4").reshape(rows, columns))  # pyright: ignore

    def close(self) -> None:
        """Give the room back."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
