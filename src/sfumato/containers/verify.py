"""The proof that what was written reads back as what was meant."""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

from sfumato.containers.layout import Progress, silent
from sfumato.containers.parallel import in_order
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.containers.text import escape
from sfumato.errors import Unverified


def compare(
    written: Tensors, meant: Tensors, digests: Mapping[str, int], progress: Progress = silent
) -> None:
    """Compare names, types, shapes, and the bytes of every tensor whose digest is known.

    Raises Unverified at the first difference.
    """
    _compare_names(written, meant)
    known = [name for name in meant if name in digests]
    for name in known:
        found, tensor = written[name], meant[name]
        if (found.dtype, found.shape) != (tensor.dtype, tensor.shape):
            raise Unverified(
                f"{escape(name)} reads back as {_kind(found)}, and {_kind(tensor)} was written"
            )
    for name, digest in zip(known, in_order(_digest, map(written.__getitem__, known)), strict=True):
        if digest != digests[name]:
            raise Unverified(f"{escape(name)} reads back with other bytes than were written")
        progress(written[name].nbytes)


def compare_metadata(written: Mapping[str, str], meant: Mapping[str, str]) -> None:
    """Raises Unverified where a text is missing, changed or new."""
    for key in (*meant, *written):
        if written.get(key) != meant.get(key):
            raise Unverified(f"the metadata value of {escape(key)} reads back differently")


def _compare_names(written: Tensors, meant: Tensors) -> None:
    missing = [name for name in meant if name not in written]
    if missing:
        raise Unverified(f"{len(missing)} tensors are missing, such as {escape(missing[0])}")
    added = [name for name in written if name not in meant]
    if added:
        raise Unverified(f"{len(added)} tensors were not meant, such as {escape(added[0])}")


def _digest(tensor: Tensor) -> int:
    digest = 0
    for piece in tensor.chunks():
        digest = crc32(piece, digest)
    return digest


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}"
