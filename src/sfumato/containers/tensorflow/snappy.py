"""Snappy decompression into a buffer whose size is known and bounded beforehand."""

from __future__ import annotations

from sfumato.containers.tensorflow.wire import WireError, varint

RATIO = 32
"""no Snappy element of three bytes gives more than 64"""


def decompress(data: bytes, most: int) -> bytes:
    """The original bytes; raises WireError for more than `most`, or for anything malformed."""
    size, offset = varint(data, 0)
    if size > most or size > RATIO * len(data):
        raise WireError(f"a compressed block says it holds {size} bytes")
    out = bytearray()
    while offset < len(data):
        element = _copy if data[offset] & 3 else _literal
        offset = element(data, offset, out)
        if len(out) > size:
            break
    if len(out) != size:
        raise WireError(f"a compressed block gives {len(out)} bytes, and says {size}")
    return bytes(out)


def _literal(data: bytes, offset: int, out: bytearray) -> int:
    length = (data[offset] >> 2) + 1
    offset += 1
    if length > 60:
        extra = length - 60
        length = int.from_bytes(data[offset : offset + extra], "little") + 1
        offset += extra
    if length > len(data) - offset:
        raise WireError("a compressed block ends inside a literal")
    out += data[offset : offset + length]
    return offset + length


def _copy(data: bytes, offset: int, out: bytearray) -> int:
    """Repeat what stood `back` bytes ago; the two may overlap."""
    tag = data[offset]
    extra = (1, 2, 4)[(tag & 3) - 1]
    if extra > len(data) - offset - 1:
        raise WireError("a compressed block ends inside a copy")
    back = int.from_bytes(data[offset + 1 : offset + 1 + extra], "little")
    if extra == 1:
        length = (tag >> 2 & 7) + 4
        back |= (tag & 0xE0) << 3
    else:
        length = (tag >> 2) + 1
    if not 1 <= back <= len(out):
        raise WireError(f"a compressed block copies from {back} bytes ago, after {len(out)}")
    begin = len(out) - back
    piece = bytes(out[begin : begin + length])
    while len(piece) < length:
        piece += piece[: length - len(piece)]
    out += piece
    return offset + 1 + extra
