"""The first layer of models that take more than a latent: the channels that all have in common."""

from __future__ import annotations

from functools import partial

from sfumato.containers.tensor import Buffer, Tensor

IS_FIRST = "input_blocks.0.0.weight"
"""end of the name of the only layer in which inpainting models differ from plain ones"""


def narrowed(tensor: Tensor, channels: int) -> Tensor:
    """The first `channels` along the second axis."""
    if tensor.shape[1] == channels:
        return tensor
    shape = (tensor.shape[0], channels, *tensor.shape[2:])
    return Tensor(tensor.dtype, shape, partial(_cut, tensor, 0, channels))


def joined(front: Tensor, whole: Tensor, channels: int) -> Tensor:
    """`front` with the further channels of `whole` behind; both are of one type."""
    assert front.dtype == whole.dtype
    return Tensor(whole.dtype, whole.shape, partial(_joined, front, whole, channels))


def _joined(front: Tensor, whole: Tensor, channels: int) -> Buffer:
    head, rest = memoryview(front.read()), memoryview(_cut(whole, channels, whole.shape[1]))
    rows = whole.shape[0]
    a, b = head.nbytes // rows, rest.nbytes // rows
    return b"".join(
        bytes(part)
        for row in range(rows)
        for part in (head[row * a : (row + 1) * a], rest[row * b : (row + 1) * b])
    )


def _cut(tensor: Tensor, start: int, end: int) -> Buffer:
    """The bytes of some channels of every row."""
    data, rows = memoryview(tensor.read()), tensor.shape[0]
    row = data.nbytes // rows
    one = row // tensor.shape[1]
    return b"".join(
        bytes(data[place + start * one : place + end * one]) for place in range(0, rows * row, row)
    )
