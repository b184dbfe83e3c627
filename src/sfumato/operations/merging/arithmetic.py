"""Tensors that are computed when they are read, by torch, in float32, and cast once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from sfumato.containers.dtype import BF16, F8_E4M3, F8_E5M2, F16, F32, F64, DType
from sfumato.containers.tensor import CHUNK, Buffer, Tensor
from sfumato.containers.text import escape
from sfumato.errors import Refused, Unverified
from sfumato.operations.cast import Losses, cast
from sfumato.operations.merging.sums import SLICE

Formula = Callable[..., torch.Tensor]

TORCH: Mapping[DType, torch.dtype] = {
    F64: torch.float64,
    F32: torch.float32,
    F16: torch.float16,
    BF16: torch.bfloat16,
    F8_E4M3: torch.float8_e4m3fn,
    F8_E5M2: torch.float8_e5m2,
}
"""types of numbers that are computed with"""


@dataclass(frozen=True, slots=True)
class Input:
    """One tensor that a formula takes, and whose it is."""

    tensor: Tensor
    owner: str
    """name of the model, for refusals"""


@dataclass(frozen=True, slots=True)
class Computed:
    """A formula over inputs of one shape, as a tensor that is not read yet."""

    name: str
    formula: Formula
    inputs: tuple[Input, ...]
    elementwise: bool
    losses: Losses = field(default_factory=Losses)

    def tensor(self, dtype: DType) -> Tensor:
        """The result in a float type, rounded once, to the nearest."""
        shape = self.inputs[0].tensor.shape
        if dtype in (F32, F16, BF16):
            return Tensor(dtype, shape, lambda: self._whole(dtype), lambda: self._pieces(dtype))
        plain = Tensor(F32, shape, lambda: self._whole(F32), lambda: self._pieces(F32))
        return cast(self.name, plain, dtype, self.losses)

    def _results(self) -> Iterator[torch.Tensor]:
        """The result in float32: in slices, or whole where the formula looks at the whole."""
        if not self.elementwise:
            values = [floats(given.tensor) for given in self.inputs]
            # A vote or a rank would hide what a sum shows.
            if not all(math.isfinite(_largest(value)) for value in values):
                raise self._refusal()
            with torch.no_grad():
                result = self.formula(*values)
            del values
            yield result
            return
        for pieces in zip(*(slices_of(i.tensor) for i in self.inputs), strict=True):
            with torch.no_grad():
                result = self.formula(*pieces)
            yield result

    def _pieces(self, dtype: DType) -> Iterator[Buffer]:
        self.losses.forget(self.name)
        for result in self._results():
            flat = result.reshape(-1)
            for start in range(0, flat.numel(), CHUNK // 4):
                yield self._bytes(flat[start : start + CHUNK // 4], dtype)

    def _bytes(self, values: torch.Tensor, dtype: DType) -> Buffer:
        """Some of the result in its type; numbers that become infinite are counted."""
        largest = _largest(values)
        if not math.isfinite(largest):
            raise self._refusal()
        if dtype != F32:
            values = values.to(TORCH[dtype])
            if dtype == F16 and largest >= OVERFLOW:
                lost = int(torch.isinf(values).sum())
                self.losses.infinite[self.name] = self.losses.infinite.get(self.name, 0) + lost
        return memoryview(values.contiguous().view(torch.uint8).numpy().data)

    def _refusal(self) -> Refused:
        """What to say of a result that is not finite, and whose fault it is."""
        for given in self.inputs:
            if not all(math.isfinite(_largest(piece)) for piece in slices_of(given.tensor)):
                whose = f"{given.owner} holds NaN or infinite numbers there"
                break
        else:
            whose = "its numbers become too large"
        return Refused(f"{escape(self.name)} cannot be merged: {whose}")

    def _whole(self, dtype: DType) -> Buffer:
        return b"".join(map(bytes, self._pieces(dtype)))


OVERFLOW = 65520.0
"""the smallest number that becomes infinite in F16"""


def _largest(values: torch.Tensor) -> float:
    """The largest number without its sign; NaN where one is NaN."""
    if not values.numel():
        return 0.0
    least, most = map(float, torch.aminmax(values))
    return math.nan if math.isnan(least) else max(-least, most)


def floats(tensor: Tensor) -> torch.Tensor:
    """A tensor read whole, in float32, in memory of its own."""
    whole = torch.empty(tensor.size, dtype=torch.float32)
    done = 0
    for piece in slices_of(tensor):
        whole[done : done + len(piece)] = piece
        done += len(piece)
    return whole.view(tensor.shape)


def slices_of(tensor: Tensor, size: int = SLICE) -> Iterator[torch.Tensor]:
    """A tensor's numbers in float32, `size` at a time, each in memory of its own.

    Raises Unverified where there are fewer or more than its shape says.
    """
    kind, width = TORCH[tensor.dtype], tensor.dtype.bits // 8
    staging = torch.empty(size * width, dtype=torch.uint8)
    view, held, given = staging.numpy(), 0, 0
    for chunk in tensor.chunks():
        rest = np.frombuffer(chunk, np.uint8)
        while len(rest):
            taken = rest[: len(view) - held]
            view[held : held + len(taken)] = taken
            held, rest = held + len(taken), rest[len(taken) :]
            if held == len(view):
                yield staging.view(kind).to(torch.float32, copy=True)
                given, held = given + size, 0
    if held:
        yield staging[: held - held % width].view(kind).to(torch.float32, copy=True)
    if given * width + held != tensor.nbytes:
        raise Unverified(f"a tensor gave {given * width + held} bytes, not {tensor.nbytes}")


def computable(tensors: Sequence[Tensor]) -> bool:
    """True for floats that stand for themselves."""
    return all(tensor.dtype in TORCH for tensor in tensors)
