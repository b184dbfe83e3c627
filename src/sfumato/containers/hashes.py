"""The hashes of a model file, under every name that programs and model sites use for them.

    name             bytes hashed                                        digits    printed by
    SHA-256          the whole file                                      64        everyone
    AutoV2           the same, shortened                                 10        A1111 titles
    AutoV1, short    64 KiB at offset 1 MiB, by SHA-256                   8        A1111 until 2023
    AutoV3, addnet   what follows a safetensors header, by SHA-256       64 or 12  LoRA hashes
    BLAKE3           the whole file                                      64        Civitai, InvokeAI
    CRC32            the whole file                                       8        Civitai (swapped)
    quick            three 64 KiB windows, by SHA-256                    64        sdkit
    tensors          names, types, shapes and numbers, in order of name  64        this program

Only the last survives a change of container; only AutoV3 and the last survive a change of metadata.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from json import dumps
from os import PathLike
from typing import TYPE_CHECKING, Protocol

from sfumato.containers.limits import DEFAULT
from sfumato.containers.source import Source
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.errors import Damaged

if TYPE_CHECKING:
    from concurrent.futures import Future

Progress = Callable[[int, int], None]
"""called with bytes done and bytes in all"""

WINDOW = 0x10000
"""bytes in one window of the short hash and of the quick hash"""

MIB = 0x100000
"""where the first window begins"""

EMPTY = "e3b0c442"
"""the short hash of every file of 1 MiB or less: SHA-256 of no bytes. It names nothing."""

WORKERS = 2


@dataclass(frozen=True, slots=True)
class Hashes:
    """What is known of a file's hashes, in lower-case hex; empty where it is not known."""

    size: int = 0
    """bytes of the file; 0 where it is not known"""
    sha256: str = ""
    blake3: str = ""
    crc32: str = ""
    """in the ordinary byte order; Civitai prints it with the four bytes reversed"""
    autov1: str = ""
    """the old 8-digit hash: it names 64 KiB of the file, not the file"""
    payload: str = ""
    """SHA-256 of what follows a safetensors header, all 64 digits; empty for other containers"""
    quick: str = ""
    tensors: str = ""
    """`hash_tensors` of the model; only computed when asked for"""

    @property
    def autov2(self) -> str:
        """The first 10 digits of SHA-256: the "Model hash" in generation text."""
        return self.sha256[:10]

    @property
    def autov3(self) -> str:
        """The first 12 digits of `payload`: the "Lora hashes" in generation text."""
        return self.payload[:12]

    def named(self) -> dict[str, str]:
        """The hashes that are known, under the names people know them by."""
        every = {
            "SHA-256": self.sha256,
            "AutoV1": self.autov1,
            "AutoV2": self.autov2,
            "AutoV3": self.autov3,
            "payload": self.payload,
            "BLAKE3": self.blake3,
            "CRC32": self.crc32,
            "quick": self.quick,
            "tensors": self.tensors,
        }
        return {name: value for name, value in every.items() if value}


def hash_file(path: str | PathLike[str], *, progress: Progress | None = None) -> Hashes:
    """Read `path` once, from front to back, and compute every hash of its bytes.

    Works on any file, whether or not it can be opened as a model. Raises Unreadable where the
    bytes cannot be had and Damaged where the file changes its size meanwhile.
    """
    with Source(path) as source:
        return hash_source(source, progress=progress)


def hash_source(source: Source, *, progress: Progress | None = None) -> Hashes:
    """`hash_file` for a file that is already open."""
    from concurrent.futures import ThreadPoolExecutor

    from blake3 import blake3

    whole, tree, check, payload = hashlib.sha256(), blake3(), _Crc32(), hashlib.sha256()
    lanes: tuple[_Hash, ...] = (whole, tree, check)
    start = payload_start(source)
    offset = 0
    running: list[Future[object]] = []
    # All four let go of the interpreter lock: two cores hash while the next chunk is being read.
    with ThreadPoolExecutor(WORKERS) as pool:
        for chunk in source.chunks(0, source.size):
            _finish(running)
            view = memoryview(chunk)
            work = [(lane, view) for lane in lanes]
            if start is not None:
                work.insert(0, (payload, view[max(0, start - offset) :]))
            running = [pool.submit(lane.update, part) for lane, part in work]
            offset += len(chunk)
            if progress is not None:
                progress(offset, source.size)
        _finish(running)
    if source.changed():
        raise Damaged(source.path, f"had {source.size} bytes and changed while it was being hashed")
    return Hashes(
        size=source.size,
        sha256=whole.hexdigest(),
        blake3=tree.hexdigest(),
        crc32=check.hexdigest(),
        autov1=short_hash(source),
        payload="" if start is None else payload.hexdigest(),
        quick=quick_hash(source),
    )


def short_hash(source: Source) -> str:
    """AutoV1, the hash of the years before 2023; EMPTY for a file of 1 MiB or less."""
    return hashlib.sha256(_window(source, MIB)).hexdigest()[:8]


def quick_hash(source: Source) -> str:
    """The hash of sdkit, which takes three reads: early, in the middle, near the end."""
    if source.size < 3 * MIB:
        return hashlib.sha256(source.read(0, source.size)).hexdigest()
    windows = (_window(source, offset) for offset in (MIB, source.size // 2, source.size - MIB))
    return hashlib.sha256(b"".join(windows)).hexdigest()


def payload_start(source: Source) -> int | None:
    """Where the bytes after a safetensors header begin; None for a file that has no such header.

    Only the frame of the header is looked at: a length that fits and a brace at either end.
    """
    if source.size <= 10:
        return None
    length = int.from_bytes(source.read(0, 8), "little")
    if not 2 <= length <= DEFAULT.safetensors_header or 8 + length >= source.size:
        return None
    # The reference writer pads the header with spaces, so the last byte need not be the brace.
    framed = source.read(8, 1) == b"{" and source.read(7 + length, 1) in (b"}", b" ")
    return 8 + length if framed else None


def hash_tensors(model: Tensors, *, progress: Progress | None = None) -> str:
    """The hash of what a model holds: the same for a .ckpt and for a safetensors file made of it.

    SHA-256 over one line of JSON in ASCII per tensor, in order of name:
    `["name", "F16", [320, 4, 3, 3], "<SHA-256 of the bytes, little-endian, C order>"]` and a line
    feed. Metadata, order, padding and container do not count; names, types and every number do.
    """
    from sfumato.containers.parallel import in_order

    total = sum(tensor.nbytes for tensor in model.values())
    done = 0
    whole = hashlib.sha256()
    names = sorted(model)
    digests = in_order(_digest, (model[name] for name in names))
    for name, digest in zip(names, digests, strict=True):
        tensor = model[name]
        line = dumps([name, tensor.dtype.name, list(tensor.shape), digest])
        whole.update(f"{line}\n".encode("ascii"))
        done += tensor.nbytes
        if progress is not None:
            progress(done, total)
    return whole.hexdigest()


def embedding_checksum(vectors: Tensor) -> str:
    """The four digits by which A1111 once told embeddings apart.

    Empty where a number is not finite, for which A1111 has no answer. One pass over all
    elements: r = (r * 281) ^ (int(100 * v) * 997), kept to 32 bits, of which the lower 16 are shown
    (`Embedding.checksum` in A1111's textual_inversion.py).
    """
    import numpy as np

    from sfumato.containers.arrays import to_float32

    # A1111 multiplies in single precision before it truncates, and the last bit decides.
    with np.errstate(over="ignore", invalid="ignore"):
        values = to_float32(vectors.read(), vectors.dtype) * np.float32(100)
    if not np.isfinite(values).all():
        return ""
    result = 0
    for value in values.tolist():
        result = (result * 281 ^ int(value) * 997) & 0xFFFFFFFF
    return f"{result & 0xFFFF:04x}"


class _Hash(Protocol):
    """What hashlib, BLAKE3 and _Crc32 have in common."""

    def update(self, data: memoryview, /) -> object: ...


class _Crc32:
    """zlib's CRC-32 behind the methods that hashlib has."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: memoryview, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def _finish(jobs: list[Future[object]]) -> None:
    for job in jobs:
        job.result()


def _window(source: Source, offset: int) -> bytes:
    """At most WINDOW bytes from `offset`; fewer, or none, where the file ends first."""
    return source.read(offset, min(WINDOW, source.size - offset)) if offset < source.size else b""


def _digest(tensor: Tensor) -> str:
    digest = hashlib.sha256()
    for chunk in tensor.chunks():
        digest.update(chunk)
    return digest.hexdigest()
