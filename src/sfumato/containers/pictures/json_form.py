"""The JSON inside a picture embedding: a nested value in which lists of numbers are tensors."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode

from sfumato.containers.dtype import F32
from sfumato.containers.limits import Limits
from sfumato.containers.model_file import Tree
from sfumato.containers.strict_json import Json, JsonError, parse_json
from sfumato.containers.tensor import Buffer, Tensor

TENSOR = "TORCHTENSOR"
"""the one key of an object that stands for a tensor (A1111, image_embedding.py)"""

MOST = 32 << 20
"""bytes of JSON; a hundred vectors of SDXL take five million"""

RANK = 8


class PayloadError(ValueError):
    """Text that is no embedding; the text of the error is one clause."""


def from_base64(text: str) -> bytes:
    """The JSON text of a text chunk."""
    try:
        return b64decode("".join(text.split()).encode(), validate=True)
    except (ValueError, binascii.Error) as error:
        raise PayloadError("holds an embedding that is not base64") from error


def parse_payload(raw: bytes) -> Json:
    """The plain value of the JSON text."""
    if len(raw) > MOST:
        raise PayloadError(f"holds an embedding of {len(raw)} bytes; {MOST} are read")
    try:
        return parse_json(raw)
    except JsonError as error:
        raise PayloadError(f"holds an embedding that cannot be read: {error}") from error


def to_tree(value: Json, limits: Limits, depth: int = 0) -> Tree:
    """The value with its lists of numbers as tensors."""
    if depth > limits.nesting:
        raise PayloadError(f"holds an embedding nested deeper than {limits.nesting}")
    if isinstance(value, dict):
        if value.keys() == {TENSOR}:
            return _tensor(value[TENSOR])
        return {key: to_tree(child, limits, depth + 1) for key, child in value.items()}
    if isinstance(value, list):
        return [to_tree(child, limits, depth + 1) for child in value]
    return value


def from_tree(tree: Tree) -> bytes:
    """The JSON text of a nested value; tensors are read. ValueError for NaN and infinity."""
    return json.dumps(_plain(tree), allow_nan=False).encode()


def _tensor(value: Json) -> Tensor:
    import numpy as np

    if not isinstance(value, list):
        raise PayloadError("holds a tensor that is no list of numbers")
    shape: list[int] = []
    inner: Json = value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
        if len(shape) > RANK:
            raise PayloadError(f"holds a tensor of more than {RANK} dimensions")
    numbers = _numbers(value, shape, 0)
    with np.errstate(over="ignore"):
        data = np.array(numbers, np.float64).astype("<f4").tobytes()

    def read() -> Buffer:
        return data

    return Tensor(F32, tuple(shape), read)


def _numbers(value: Json, shape: list[int], depth: int) -> list[float]:
    """All numbers of nested lists that must have one shape."""
    if not isinstance(value, list) or len(value) != shape[depth]:
        raise PayloadError("holds a tensor whose rows differ in length")
    if depth + 1 < len(shape):
        return [number for row in value for number in _numbers(row, shape, depth + 1)]
    try:
        row = [float(x) for x in value if isinstance(x, int | float) and not isinstance(x, bool)]
    except OverflowError as error:
        raise PayloadError("holds a tensor with a number beyond all bounds") from error
    if len(row) != len(value):
        raise PayloadError("holds a tensor with something in it that is no number")
    return row


def _plain(tree: Tree) -> object:
    if isinstance(tree, Tensor):
        return {TENSOR: _nested(tree)}
    if isinstance(tree, dict):
        return {str(key): _plain(child) for key, child in tree.items()}
    if isinstance(tree, list | tuple):
        return [_plain(child) for child in tree]
    return None if isinstance(tree, bytes) else tree


def _nested(tensor: Tensor) -> object:
    from sfumato.containers.arrays import array

    return array(tensor).tolist()
