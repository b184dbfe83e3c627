"""The GGUF writer: version 3, tensors as they are or in Q8_0 blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from struct import pack
from typing import BinaryIO

from sfumato.containers.gguf.encodings import PLAIN, Q8_0, Encoding
from sfumato.containers.gguf.keys import ALIGNMENT, ORIGINAL_SHAPE, STRING
from sfumato.containers.gguf.read import MAGIC, RANK, U32
from sfumato.containers.layout import Progress, stream
from sfumato.containers.model_file import Tree
from sfumato.containers.tensor import Buffer, Tensor, Tensors
from sfumato.containers.text import escape
from sfumato.errors import Refused, Unverified, UsageError

VERSION = 3
STEP = 32
"""alignment of every tensor: the value that needs no key"""

OWN_KEYS = (ALIGNMENT, "general.file_type", "general.quantization_version", "split.")
"""beginnings of keys that describe the old file, and would be false of the new one"""

MOSTLY_Q8_0 = 7
"""`general.file_type` of llama.cpp"""

QUANTIZATION_VERSION = 2
"""of the block formats, since May 2023"""

KEPT = (
    *("embedding", "time_embed.", "label_emb."),  # UNets, token tables
    *("img_in.", "txt_in.", "time_in.", "vector_in.", "guidance_in.", "final_layer."),  # Flux
    *("x_embedder.", "t_embedder.", "y_embedder.", "pos_embed", "context_embedder."),  # SD3
)
"""parts of names that stable-diffusion.cpp never quantises: few numbers, much harm"""

KEPT_ENDS = (".bias", ".scale", ".weight_scale")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one tensor goes, and how."""

    name: str
    tensor: Tensor
    encoding: Encoding
    offset: int
    """from the start of the data"""
    nbytes: int


@dataclass(slots=True)
class GgufLayout:
    """A GGUF file before it is written."""

    head: bytes
    """all that comes before the data, padded"""
    places: list[Place]
    nbytes: int
    digests: dict[str, int] = field(default_factory=dict[str, int])

    def emit(self, sink: BinaryIO, progress: Progress) -> None:
        """Write the head, then the tensors piece by piece."""
        sink.write(self.head)
        progress(len(self.head))
        for place in self.places:
            if place.encoding.plain:
                self.digests[place.name] = stream(place.name, place.tensor, sink, progress)
            else:
                _quantise(place, sink, progress)
            sink.write(bytes(-place.nbytes % STEP))


def plan_gguf(
    tensors: Tensors, metadata: Mapping[str, str], *, tree: Tree = None, encoding: str = ""
) -> GgufLayout:
    """Lay out a file; with `encoding` "Q8_0", weights that bear it go into blocks of eight bits.

    Metadata is written as text. A `tree` is not written: the format holds only named tensors.
    Raises Refused for what the format cannot hold, UsageError for another encoding.
    """
    if encoding not in ("", Q8_0.name):
        raise UsageError(f"{encoding}: cannot be written; the encodings that can are: {Q8_0.name}")
    places, end = list[Place](), 0
    for name, tensor in tensors.items():
        form = Q8_0 if encoding and bears_blocks(name, tensor) else _plain(name, tensor)
        nbytes = form.nbytes(tensor.size)
        places.append(Place(name, tensor, form, end, nbytes))
        end += nbytes + -nbytes % STEP
    head = _head(places, metadata, quantised=any(not p.encoding.plain for p in places))
    return GgufLayout(head, places, len(head) + end)


def bears_blocks(name: str, tensor: Tensor) -> bool:
    """True for a weight that may be quantised: the rule of stable-diffusion.cpp, but that vectors
    stay as they are (as in ComfyUI-GGUF), which costs next to nothing."""
    if tensor.dtype.kind != "float" or tensor.dtype.bits < 8:
        return False
    if len(tensor.shape) < 2 or not tensor.size:
        return False
    if name.endswith(KEPT_ENDS) or any(part in name for part in KEPT):
        return False
    return tensor.shape[-1] % Q8_0.block == 0


def _plain(name: str, tensor: Tensor) -> Encoding:
    if not name:
        raise Refused("a tensor has no name, and GGUF holds only tensors with names")
    if len(tensor.shape) > RANK:
        raise Refused(
            f"{escape(name)}: has {len(tensor.shape)} dimensions, and GGUF holds at most {RANK}"
        )
    if tensor.dtype not in PLAIN:
        known = ", ".join(dtype.name for dtype in PLAIN)
        raise Refused(f"{escape(name)}: is {tensor.dtype}, and GGUF holds {known}")
    return PLAIN[tensor.dtype]


def _head(places: list[Place], metadata: Mapping[str, str], *, quantised: bool) -> bytes:
    keys = [
        _string(key) + pack("<I", STRING) + _string(value)
        for key, value in metadata.items()
        if not key.startswith((*OWN_KEYS, ORIGINAL_SHAPE))
    ]
    if quantised:
        numbers = {
            "general.file_type": MOSTLY_Q8_0,
            "general.quantization_version": QUANTIZATION_VERSION,
        }
        keys += [_string(key) + pack("<II", U32, number) for key, number in numbers.items()]
    head = MAGIC + pack("<IQQ", VERSION, len(places), len(keys)) + b"".join(keys)
    head += b"".join(_rows(places))
    return head + bytes(-len(head) % STEP)


def _rows(places: list[Place]) -> Iterator[bytes]:
    for place in places:
        dims = place.tensor.shape[::-1]
        yield _string(place.name)
        yield pack(f"<I{len(dims)}Q", len(dims), *dims)
        yield pack("<IQ", place.encoding.code, place.offset)


def _string(text: str) -> bytes:
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise Refused(f"{escape(text)}: is not Unicode text") from error
    return pack("<Q", len(raw)) + raw


def _quantise(place: Place, sink: BinaryIO, progress: Progress) -> None:
    written = 0
    for piece in _whole_blocks(place):
        packed = _packed(place, piece)
        sink.write(packed)
        written += len(packed)
        progress(len(packed))
    if written != place.nbytes:
        raise Unverified(f"{place.name}: gave {written} bytes where {place.nbytes} were expected")


def _whole_blocks(place: Place) -> Iterator[Buffer]:
    """The tensor's pieces, cut where blocks end."""
    step = Q8_0.block * place.tensor.dtype.bits // 8
    rest = b""
    for piece in place.tensor.chunks():
        joined = rest + bytes(piece) if rest else memoryview(piece).cast("B")
        whole = len(joined) // step * step
        yield joined[:whole]
        rest = bytes(joined[whole:])
    yield rest


def _packed(place: Place, piece: Buffer) -> bytes:
    import numpy as np

    from sfumato.containers.arrays import to_float32
    from sfumato.containers.gguf.quants import encode_q8_0

    x = to_float32(piece, place.tensor.dtype)
    # The scale is stored as F16: a 127th of the largest number must not overflow it.
    if not (np.abs(x) < 127 * 65504).all():
        raise Refused(f"{escape(place.name)}: holds numbers that are too large or not finite")
    return encode_q8_0(x).tobytes()
