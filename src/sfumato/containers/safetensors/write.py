"""The safetensors writer: the bytes that the reference writer gives for the same tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from sfumato.containers.dtype import SAFETENSORS_DTYPES, DType
from sfumato.containers.layout import Progress, ahead, stream
from sfumato.containers.limits import DEFAULT
from sfumato.containers.model_file import Tree
from sfumato.containers.safetensors.read import HARD_LIMIT, METADATA
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.containers.text import escape
from sfumato.errors import Refused

_RANK = {dtype: rank for rank, dtype in enumerate(SAFETENSORS_DTYPES)}


@dataclass(slots=True)
class SafetensorsLayout:
    """A safetensors file before it is written."""

    head: bytes
    """length and header, padded so that the data begins at a multiple of eight"""
    order: list[tuple[str, Tensor]]
    """tensors in the order of their bytes: widest type first, then by name"""
    nbytes: int
    digests: dict[str, int] = field(default_factory=dict[str, int])

    def emit(self, sink: BinaryIO, progress: Progress) -> None:
        """Write the header, then the tensors piece by piece."""
        sink.write(self.head)
        progress(len(self.head))
        for name, tensor in ahead(self.order):
            self.digests[name] = stream(name, tensor, sink, progress)


def plan_safetensors(
    tensors: Tensors, metadata: Mapping[str, str], *, tree: Tree = None, in_order: bool = False
) -> SafetensorsLayout:
    """Lay out a file; raises Refused for types and names that the format does not have.

    A `tree` is not written: the format holds nothing but named tensors and text. `in_order` keeps
    the order that the tensors come in, and with it the hash of a file that is only relabelled.
    """
    for name, tensor in tensors.items():
        _check_name(name)
        if tensor.dtype not in _RANK:
            raise Refused(f"{escape(name)}: safetensors has no type for {tensor.dtype}")
    order = list(tensors.items())
    if not in_order:
        order.sort(key=lambda item: (-_RANK[item[1].dtype], item[0].encode()))
    head = _head(order, metadata)
    return SafetensorsLayout(head, order, len(head) + sum(t.nbytes for _, t in order))


def _check_name(name: str) -> None:
    if name == METADATA:
        raise Refused(f"{METADATA}: is the key of the metadata, and cannot name a tensor")
    if "\0" in name or len(name) > DEFAULT.name_bytes:
        raise Refused(f"{escape(name)}: safetensors cannot hold this name")
    _check_text(name, "name")


def _check_text(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Refused(f"{escape(text)}: this {what} is not Unicode text") from error


def _head(order: list[tuple[str, Tensor]], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, object] = {}
    if metadata:
        for key, value in metadata.items():
            _check_text(key, "metadata key")
            _check_text(value, "metadata value")
        header[METADATA] = dict(metadata)
    end = 0
    for name, tensor in order:
        begin, end = end, end + tensor.nbytes
        header[name] = _entry(tensor.dtype, tensor.shape, begin, end)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > HARD_LIMIT:
        raise Refused(
            f"a header of {len(text)} bytes is more than the {HARD_LIMIT} that readers accept"
        )
    return len(text).to_bytes(8, "little") + text


def _entry(dtype: DType, shape: tuple[int, ...], begin: int, end: int) -> dict[str, object]:
    return {"dtype": dtype.name, "shape": list(shape), "data_offsets": [begin, end]}
