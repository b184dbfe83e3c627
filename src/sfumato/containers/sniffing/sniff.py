"""The format of a file by its content: suffixes lie."""

from __future__ import annotations

from collections.abc import Callable

from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import (
    NPZ,
    SAFETENSORS,
    TENSORFLOW_V1,
    TENSORFLOW_V2,
    TORCH_TAR,
    TORCH_ZIP,
    Container,
)
from sfumato.containers.sizes import human
from sfumato.containers.sniffing.pickled import hidden_pickle, sniff_pickle
from sfumato.containers.sniffing.signatures import SIGNATURES
from sfumato.containers.sniffing.text import check_bytes, is_text, sniff_text
from sfumato.containers.source import Source
from sfumato.errors import Damaged, NotAModel, Unsupported

HEAD = 4096
SHORTEST = 8
"""bytes below which no format has room for a tensor"""

HEADER = 100_000_000
"""bytes of a safetensors header that readers accept (tensor.rs)"""


def sniff(source: Source, limits: Limits = DEFAULT) -> Container:
    """The container of an open file.

    Raises NotAModel, Unsupported or Damaged with one sentence for what is none: what it is, and
    what to do about it.
    """
    head = source.read(0, min(source.size, HEAD))
    _check_size(source)
    for look in LOOKS:
        found = look(source, head, limits)
        if found is not None:
            return found
    shown = " ".join(f"{byte:02x}" for byte in head[:8])
    raise NotAModel(source.path, f"is of no format that is known here; it begins with {shown}")


def _check_size(source: Source) -> None:
    if source.size == 0:
        raise NotAModel(
            source.path,
            "is empty: its download never began, or failed; download it again",
        )
    if source.size < SHORTEST:
        raise NotAModel(
            source.path,
            f"has {human(source.size)}, too few for any model: its download failed, or it is a "
            "placeholder; download it again",
        )


def _text(source: Source, head: bytes, limits: Limits) -> Container | None:
    # Pickles of protocol 0 are text as well.
    pickled = sniff_pickle(source, head, limits) if is_text(head) else None
    return pickled or sniff_text(source, head)


def _zip(source: Source, head: bytes, limits: Limits) -> Container | None:
    """npz where all members are arrays; all else is refused or read by the reader of torch zips,
    which is the strictest."""
    if not head.startswith(b"PK\3\4"):
        return None
    length = int.from_bytes(head[26:28], "little")
    names = [head[30 : 30 + length]]
    if not names[0].endswith(b".npy") and max(head) >= 0x80:  # else it may have been text
        return TORCH_ZIP
    # Not at the top: only such archives need it.
    from sfumato.containers.torch.directory import read_table

    try:
        names += [entry.raw_name for entry in read_table(source, limits)[1]]
    except Damaged:
        check_bytes(source, head)  # all else that is wrong is said by its reader
    return NPZ if all(name.endswith(b".npy") for name in names) else TORCH_ZIP


def _tar(source: Source, head: bytes, limits: Limits) -> Container | None:
    if len(head) < 512:
        return None
    # The oldest tars have no mark; their headers have a checksum.
    field = head[148:156].strip(b" \0")
    told = int(field, 8) if field and not field.strip(b"01234567") else -1
    found = sum(head[:148]) + 8 * 32 + sum(head[156:512])
    return TORCH_TAR if head[257:262] == b"ustar" or told == found else None


def _signature(source: Source, head: bytes, limits: Limits) -> Container | None:
    for signature in SIGNATURES:
        if not signature.fits(head):
            continue
        if signature.container is None:
            raise signature.error(source.path, signature.sentence)
        return signature.container
    return None


def _table(source: Source, head: bytes, limits: Limits) -> Container | None:
    # Not at the top: only TensorFlow's files need it.
    from sfumato.containers.tensorflow.table import has_table
    from sfumato.containers.tensorflow.version1 import is_version_1

    if not has_table(source):
        return None
    return TENSORFLOW_V1 if is_version_1(source) else TENSORFLOW_V2


def _safetensors(source: Source, head: bytes, limits: Limits) -> Container | None:
    length = int.from_bytes(head[:8], "little")
    begins = head[8:9]
    if begins != b"{" and not (begins in (b" ", b"\t", b"\r", b"\n") and length <= HEADER):
        return None
    if length > HEADER and sniff_pickle(source, head, limits):
        return None  # the first name in an old pickle may begin with a brace
    if length <= HEADER and 8 + length > source.size:
        raise Damaged(
            source.path,
            f"is a safetensors file cut off in its header: the header has {length} bytes, and the "
            f"file {source.size} in all; the download is incomplete",
        )
    return SAFETENSORS


def _protobuf(source: Source, head: bytes, limits: Limits) -> Container | None:
    # Not at the top: hardly any file comes this far.
    from sfumato.containers.sniffing.protobuf import protobuf_sentence

    sentence = protobuf_sentence(source, head)
    if sentence:
        raise Unsupported(source.path, sentence)
    return None


def _zeros(source: Source, head: bytes, limits: Limits) -> Container | None:
    if any(head):
        return None
    raise Damaged(
        source.path,
        f"begins with {len(head)} zero bytes: room was made for it on the disk, and the download "
        "did not fill it; download it again",
    )


Look = Callable[[Source, bytes, Limits], Container | None]
"""gives the container, or None where it is another; raises where it is known not to be a model"""

LOOKS: tuple[Look, ...] = (
    hidden_pickle,
    _text,
    _zip,
    _tar,
    _signature,
    _table,
    _safetensors,
    sniff_pickle,
    _protobuf,
    _zeros,
)
"""in this order: a file that is two things at once is taken for the more dangerous one"""
