"""Models that are protocol buffers: ONNX, and the graphs of TensorFlow; named, never read."""

from __future__ import annotations

import re

from sfumato.containers.source import Source
from sfumato.containers.tensorflow.wire import VARINT, WireError, varint

META_GRAPH = (
    "is the graph of a TensorFlow checkpoint (.meta), without numbers; give its .index file, which "
    "lies beside it with the .data files"
)
FROZEN = "is a TensorFlow graph (.pb), which is not read"
ONNX = "is an ONNX model, which is not read; ask for the PyTorch or safetensors edition"
COREML = "is a Core ML model, which is not read"

_NODE = re.compile(rb"\x0a[\x01-\x7f][A-Za-z0-9.][\w.\-/\\>]*\x12[\x01-\x40][A-Z][A-Za-z0-9]+")
"""the first node of a graph: a name, then the name of an operation"""


def protobuf_sentence(source: Source, head: bytes) -> str:
    """What a file is that is one message; empty where it is none that is known."""
    try:
        return _sentence(source, head)
    except WireError:
        return ""


def _sentence(source: Source, head: bytes) -> str:
    tag, offset = varint(head, 0)
    if tag == 1 << 3 | VARINT:
        return _versioned(head, offset)
    if tag != 0x0A:
        return ""
    size, offset = varint(head, offset)
    if offset + size > source.size:
        return ""
    first = head[offset : offset + min(size, 400)]
    after = source.read(offset + size, min(10, source.size - offset - size))
    if after[:1] == b"\x12" and first[:1] in (b"\x0a", b"\x12") and b"\x0a" in first:
        return META_GRAPH
    return FROZEN if _NODE.match(first) else ""


def _versioned(head: bytes, offset: int) -> str:
    """A model that begins with the version of its format."""
    version, offset = varint(head, offset)
    if not 1 <= version <= 30 or offset >= len(head):
        return ""
    tag, offset = varint(head, offset)
    size, offset = varint(head, offset)
    text = head[offset : offset + size]
    if tag == 0x12 and 0 < size < 100 and re.fullmatch(rb"[\w .:+/\-]+", text):
        return ONNX  # the name of the program that made it
    if tag in (0x3A, 0x42):
        return ONNX
    if tag == 0x12 and text[:1] == b"\x0a" and b"mlmodel" not in text:
        return FROZEN if b"serve" in text or b"tensorflow" in text.lower() else COREML
    return ""
