"""The reader of the oldest torch format (before 0.1.10): a tar of pickles and raw numbers."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from sfumato.containers.dtype import U8
from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import TORCH_TAR, ModelFile
from sfumato.containers.pickles.values import Global, PendingTensor, StorageRef, Value
from sfumato.containers.source import Source
from sfumato.containers.torch.nested import opener
from sfumato.containers.torch.opened import opened
from sfumato.containers.torch.readable import Readable, Span
from sfumato.containers.torch.stack import PickleStream
from sfumato.containers.torch.storage import CLASSES, Claim, Elements, Storage, Storages, text
from sfumato.containers.torch.tar_members import read_members

WHERE = "tar"
RANK = Struct("<i4x")
"""number of dimensions; it was once written in eight bytes"""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A storage by the number that the pickles call it."""

    claim: Claim
    storage: Storage


def read_torch_tar(source: Source, limits: Limits = DEFAULT) -> ModelFile:
    """The tensors of a torch tar file; the source closes with the result.

    Raises Damaged or Unsupported, with the journal of what was seen before.
    """
    storages = Storages(source.path, source.size, limits)
    members = read_members(source, limits)
    kept = _read_storages(members["storages"], storages)
    tensors = _read_tensors(members["tensors"], storages, kept)

    def refer(pid: Value) -> Value:
        if isinstance(pid, tuple) and len(pid) == 3:  # a module, with its source code
            return pid[0]
        number = _number(pid)
        if number not in tensors and number not in kept:
            storages.fault("a persistent id is not that of a tensor")
            return None
        if number in tensors:
            return tensors[number]
        return storages.reference(WHERE, kept[number].claim)

    stream = PickleStream(members["pickle"], storages, opener(storages))
    value, _ = stream.run(0, "member pickle", refer)
    return opened(source, TORCH_TAR, value, storages)


def _number(value: Value) -> int:
    """An object's number, which some versions wrote as digits; -1 for anything else."""
    if type(value) is int:
        return value
    digits = text(value)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else -1


def _read_storages(member: Readable, storages: Storages) -> dict[int, _Kept]:
    """Every storage with the place of its numbers, and the views of storages."""
    stream = PickleStream(member, storages, opener(storages))
    count, at = _count(stream, 0, "member storages")
    kept: dict[int, _Kept] = {}
    for number in range(count):
        triple, at = stream.run(at, f"member storages, storage {number}")
        if not isinstance(triple, tuple) or len(triple) != 3:
            raise storages.damaged(f"storage {number} of the member storages is not described")
        key, location, kind = triple
        kinds = _storage_type(kind, storages)
        elements = int.from_bytes(_take(member, at, 8, storages), "little", signed=True)
        if elements < 0 or elements * kinds.item > member.size - at - 8:
            raise storages.damaged(f"storage {number} of the member storages is cut off")
        claim = Claim(str(_number(key)), text(location), elements, kinds)
        storage = Storage(claim.key, kinds.dtype, claim.nbytes, Span(member, at + 8, claim.nbytes))
        storages.add(WHERE, claim, storage)
        kept[_number(key)] = _Kept(claim, storage)
        at += 8 + claim.nbytes
    views, _ = stream.run(at, "member storages, views")
    _add_views(views, kept, storages)
    return kept


def _storage_type(kind: Value, storages: Storages) -> Elements:
    elements = CLASSES.get(kind.dotted) if isinstance(kind, Global) else None
    if elements is None or elements.dtype is None:
        raise storages.damaged("a storage in the member storages has no type that is known")
    return elements


def _add_views(views: Value, kept: dict[int, _Kept], storages: Storages) -> None:
    """Register the storages that are slices of others."""
    if not isinstance(views, list):
        raise storages.damaged("the views in the member storages are not a list")
    for view in views:
        if not isinstance(view, tuple) or len(view) != 4:
            raise storages.damaged("a view in the member storages is not described")
        target, root, offset, elements = map(_number, view)
        base = kept.get(root)
        if base is None or offset < 0 or elements < 0 or offset + elements > base.claim.numel:
            raise storages.damaged("a view in the member storages reaches beyond its storage")
        old = base.claim
        claim = Claim(str(target), old.location, elements, old.elements)
        storage = Storage(base.storage.name, old.elements.dtype, claim.nbytes, base.storage.region)
        storage.start = base.storage.start + offset * old.elements.item
        storages.add(WHERE, claim, storage)
        kept[target] = _Kept(claim, storage)


def _read_tensors(
    member: Readable, storages: Storages, kept: dict[int, _Kept]
) -> dict[int, PendingTensor]:
    """Every tensor: a storage, sizes, strides and an offset."""
    stream = PickleStream(member, storages, opener(storages))
    count, at = _count(stream, 0, "member tensors")
    tensors: dict[int, PendingTensor] = {}
    for number in range(count):
        triple, at = stream.run(at, f"member tensors, tensor {number}")
        if not isinstance(triple, tuple) or len(triple) != 3:
            raise storages.damaged(f"tensor {number} of the member tensors is not described")
        base = kept.get(_number(triple[1]))
        if base is None:
            raise storages.damaged(f"tensor {number} of the member tensors has no storage")
        (rank,) = RANK.unpack(_take(member, at, RANK.size, storages))
        if not 0 <= rank <= storages.limits.rank:
            raise storages.damaged(f"tensor {number} of the member tensors has {rank} dimensions")
        raw = _take(member, at + RANK.size, 8 * (2 * rank + 1), storages)
        numbers = Struct(f"<{2 * rank + 1}q").unpack(raw)
        reference: StorageRef = storages.reference(WHERE, base.claim)
        shape, strides, offset = numbers[:rank], numbers[rank : 2 * rank], numbers[-1]
        dtype = base.claim.elements.dtype or U8
        tensors[_number(triple[0])] = PendingTensor(reference, offset, shape, strides, dtype)
        at += RANK.size + len(raw)
    return tensors


def _count(stream: PickleStream, at: int, where: str) -> tuple[int, int]:
    count, end = stream.run(at, where)
    if type(count) is not int or not 0 <= count <= stream.storages.limits.tensors:
        raise stream.storages.damaged(f"the {where} does not begin with a usable count")
    return count, end


def _take(member: Readable, at: int, size: int, storages: Storages) -> bytes:
    if at + size > member.size:
        raise storages.damaged("a member of the tar archive ends too early")
    return member.read(at, size)
