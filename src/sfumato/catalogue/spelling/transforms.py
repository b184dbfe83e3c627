"""The few changes of value between two spellings, made when a tensor is read and not before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from sfumato.containers.dtype import I64
from sfumato.containers.tensor import Buffer, Tensor
from sfumato.errors import Refused


@dataclass(frozen=True, slots=True)
class Transform:
    """A named way to make one tensor from others; shapes are known without reading."""

    name: str
    """as a report calls it: "pack q, k, v" """
    apply: Callable[[Sequence[Tensor]], Tensor]


def _to_linear(tensors: Sequence[Tensor]) -> Tensor:
    """A 1×1 convolution as a linear layer: the same bytes."""
    (tensor,) = tensors
    return replace(tensor, shape=tensor.shape[:2])


def _to_conv(tensors: Sequence[Tensor]) -> Tensor:
    """A linear layer as a 1×1 convolution: the same bytes."""
    (tensor,) = tensors
    return replace(tensor, shape=(*tensor.shape, 1, 1))


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    """All rows of the first tensor, then of the second …"""
    first = tensors[0]
    if not first.shape:
        raise Refused("single numbers cannot be packed into rows")
    odd = [t for t in tensors if (t.dtype, t.shape[1:]) != (first.dtype, first.shape[1:])]
    if odd:
        raise Refused(
            f"tensors to be packed into one differ: {first.dtype} {list(first.shape)} "
            f"and {odd[0].dtype} {list(odd[0].shape)}"
        )
    shape = (sum(tensor.shape[0] for tensor in tensors), *first.shape[1:])

    def pieces() -> Iterator[Buffer]:
        for tensor in tensors:
            yield from tensor.chunks()

    return Tensor(first.dtype, shape, lambda: b"".join(t.read() for t in tensors), pieces)


def _third(index: int) -> Callable[[Sequence[Tensor]], Tensor]:
    """The first, second or last third of a tensor's rows."""

    def apply(tensors: Sequence[Tensor]) -> Tensor:
        (tensor,) = tensors
        if not tensor.shape or tensor.shape[0] % 3:
            raise Refused(f"a tensor of shape {list(tensor.shape)} has no three equal parts")
        shape = (tensor.shape[0] // 3, *tensor.shape[1:])
        size = tensor.dtype.nbytes(shape)

        def read() -> Buffer:
            return memoryview(tensor.read())[index * size : (index + 1) * size]

        return Tensor(tensor.dtype, shape, read)

    return apply


def _transpose(tensors: Sequence[Tensor]) -> Tensor:
    """Rows become columns."""
    (tensor,) = tensors
    if len(tensor.shape) != 2 or tensor.dtype.bits < 8:
        raise Refused(f"{tensor.dtype} of shape {list(tensor.shape)} cannot be transposed")
    rows, columns = tensor.shape

    def read() -> Buffer:
        import numpy as np

        stored = np.frombuffer(tensor.read(), dtype=tensor.dtype.carrier)
        return np.ascontiguousarray(stored.reshape(rows, columns).T).tobytes()

    return Tensor(tensor.dtype, (columns, rows), read)


def position_ids(positions: int = 77) -> Tensor:
    """The numbers 0, 1, 2 … that old programs expect beside a CLIP text encoder."""
    numbers = b"".join(number.to_bytes(8, "little") for number in range(positions))
    return Tensor(I64, (1, positions), lambda: numbers)


TO_LINEAR = Transform("1×1 convolution to linear", _to_linear)
TO_CONV = Transform("linear to 1×1 convolution", _to_conv)
TRANSPOSE = Transform("transpose", _transpose)
PACK = Transform("pack q, k, v", _stack)
UNPACK = (
    Transform("take q of q, k, v", _third(0)),
    Transform("take k of q, k, v", _third(1)),
    Transform("take v of q, k, v", _third(2)),
)
POSITION_IDS = Transform("write position ids", lambda _: position_ids())
