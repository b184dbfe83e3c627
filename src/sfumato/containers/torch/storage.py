"""The storages of a torch file: what a pickle says of them, held against what the file has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sfumato.containers import dtype as types
from sfumato.containers.dtype import DType
from sfumato.containers.journal import Journal
from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.pickles.values import (
    Global,
    NumpyArray,
    PendingTensor,
    StorageRef,
    Value,
)
from sfumato.containers.sizes import human
from sfumato.containers.tensor import Origin, Tensor
from sfumato.containers.text import escape
from sfumato.containers.torch.readable import Blob, Region, Span
from sfumato.containers.torch.views import (
    View,
    c_strides,
    contiguous,
    extent,
    fortran_strides,
    tensor_of,
)
from sfumato.errors import Damaged

NUMBERS: Mapping[str, DType] = {
    "Double": types.F64,
    "Float": types.F32,
    "Half": types.F16,
    "BFloat16": types.BF16,
    "Long": types.I64,
    "Int": types.I32,
    "Short": types.I16,
    "Char": types.I8,
    "Byte": types.U8,
    "Bool": types.BOOL,
    "ComplexFloat": types.C64,
    "ComplexDouble": types.C128,
}
"""what stands before "Storage" in the name of a storage class → the type of its elements"""

QUANTISED: Mapping[str, int] = {"QInt8": 1, "QUInt8": 1, "QInt32": 4, "QUInt4x2": 1, "QUInt2x4": 1}
"""storage classes whose numbers mean nothing without a scale → bytes of one element"""

UNTYPED = ("storage.UntypedStorage", "storage._UntypedStorage", "UntypedStorage")


@dataclass(frozen=True, slots=True)
class Elements:
    """What a storage class says of the elements."""

    dtype: DType | None
    item: int
    """bytes of one"""
    quantised: str = ""


CLASSES: Mapping[str, Elements] = {
    **{f"torch.{name}": Elements(None, 1) for name in UNTYPED},
    **{
        f"torch.{place}{name}Storage": elements
        for place in ("", "cuda.")
        for name, elements in (
            *((name, Elements(dtype, dtype.bits // 8)) for name, dtype in NUMBERS.items()),
            *((name, Elements(None, item, name)) for name, item in QUANTISED.items()),
        )
    },
}
"""every storage class by its dotted name"""

LARGEST = 2**63
"""counts and offsets stay below this, as in every program that reads such files"""

LOGICAL_FACTOR, LOGICAL_SLACK = 64, 1 << 30
"""all tensors together may be this many times the file, and this much more: views can be expanded
and storages shared, so that a small file can describe terabytes"""


@dataclass(slots=True)
class Storage:
    """One run of numbers in a file; tensors are views of it."""

    name: str
    """a zip member or a legacy key"""
    dtype: DType | None
    """None where the storage has no type, or one that is not read"""
    nbytes: int
    region: Region | None = None
    """None until its place in a stacked file is known"""
    start: int = 0
    """first byte in the region, for the old views of a root storage"""
    swapped: bool = False
    quantised: str = ""
    """the sort of quantisation; empty for plain numbers"""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a persistent id says of a storage."""

    key: str
    location: str
    numel: int
    elements: Elements
    view: Value = None

    @property
    def nbytes(self) -> int:
        """Bytes that the storage must have."""
        return self.numel * self.elements.item


@dataclass(slots=True)
class Storages:
    """Everything gathered while the pickles of one file are walked.

    Faults that are found on the way are kept until the whole pickle was walked, so that they hide
    nothing that comes after them.
    """

    path: Path
    size: int
    """bytes of the file"""
    limits: Limits = DEFAULT
    journal: Journal = field(default_factory=Journal)
    notes: list[str] = field(default_factory=list[str])
    faults: list[str] = field(default_factory=list[str])
    table: dict[tuple[str, str], Storage] = field(default_factory=dict[tuple[str, str], Storage])
    """(stream, key) → storage"""
    _tensors: dict[tuple[object, ...], Tensor] = field(
        default_factory=dict[tuple[object, ...], Tensor]
    )
    _arrays: int = 0
    _logical: int = 0
    _file: str = ""

    def __post_init__(self) -> None:
        self._file = str(self.path)

    def fault(self, reason: str) -> None:
        """Remember one reason for which the file is refused in the end."""
        self.faults.append(reason)

    def settle(self) -> None:
        """Raise Damaged with the first fault that was found, if there is one."""
        if self.faults:
            raise Damaged(self.path, self.faults[0], journal=self.journal)

    @property
    def exhausted(self) -> bool:
        """True where a walk ended for want of opcodes, and not because the bytes did."""
        return self.journal.steps > self.limits.pickle_opcodes

    def damaged(self, reason: str) -> Damaged:
        """An error that carries what was seen so far."""
        return Damaged(self.path, reason, journal=self.journal)

    def add(self, where: str, claim: Claim, storage: Storage) -> None:
        """Register a storage; every mention of it must agree with the first."""
        first = self.table.setdefault((where, claim.key), storage)
        if claim.elements.quantised:
            self.note(f"tensors of type {claim.elements.quantised} are left out")
        if first.nbytes != storage.nbytes:
            self.fault(
                f"the storage {escape(claim.key)} is said to have {first.nbytes} bytes and "
                f"{storage.nbytes} bytes"
            )
        elif first.dtype is not storage.dtype and None not in (first.dtype, storage.dtype):
            self.fault(
                f"the storage {escape(claim.key)} is said to hold {first.dtype} and {storage.dtype}"
            )

    def reference(self, where: str, claim: Claim) -> StorageRef:
        """What the pickle gets in place of the storage."""
        return StorageRef(claim.key, claim.elements.dtype, claim.location, claim.numel, where)

    def tensor(self, pending: PendingTensor) -> Tensor | None:
        """The tensor that a description means; None for quantised numbers."""
        reference = pending.storage
        dtype = pending.dtype
        place = (reference.where, reference.key)
        key = (*place, pending.offset, pending.shape, pending.strides, dtype.name)
        known = self._tensors.get(key)
        if known is not None:
            return known
        storage = self.table.get(place)
        if storage is None or (storage.region is None and storage.nbytes):
            raise self.damaged(f"the storage {escape(reference.key)} is missing")
        if storage.quantised:
            return None
        view = self._view(storage, pending, dtype)
        tensor = tensor_of(view, self._origin(storage, view))
        self._count(tensor)
        self._tensors[key] = tensor
        return tensor

    def array(self, array: NumpyArray, dtype: DType) -> Tensor:
        """The tensor that a pickled numpy array of numbers holds."""
        if len(array.data) != dtype.nbytes(array.shape):
            raise self.damaged(
                f"a numpy array of shape {list(array.shape)} holds {len(array.data)} bytes"
            )
        self._arrays += 1
        region = Span(Blob(self.path, bytes(array.data)), 0, len(array.data))
        strides = (fortran_strides if array.fortran else c_strides)(array.shape)
        view = View(region, 0, dtype, array.shape, strides)
        storage = Storage(f"array {self._arrays}", dtype, region.size, region)
        return tensor_of(view, self._origin(storage, view))

    def _view(self, storage: Storage, pending: PendingTensor, dtype: DType) -> View:
        """Where the tensor lies, once every number in its description has been checked."""
        offset, shape, strides = pending.offset, pending.shape, pending.strides
        numbers = (offset, *shape, *strides)
        if len(shape) > self.limits.rank or len(shape) != len(strides):
            raise self._misfit(pending, f"has {len(shape)} sizes and {len(strides)} strides")
        if min(numbers) < 0 or max(numbers) >= LARGEST:
            raise self._misfit(pending, "has a size, stride or offset that cannot be")
        item = dtype.bits // 8
        room = storage.nbytes // item
        reach = offset + extent(shape, strides)
        if reach > room:
            said = f"reaches {reach} elements far, and the storage has {room}"
            raise self._misfit(pending, said)
        start = storage.start + offset * item
        region = storage.region or Span(Blob(self.path, b""), 0, 0)
        return View(region, start, dtype, shape, strides, storage.swapped)

    def _misfit(self, pending: PendingTensor, said: str) -> Damaged:
        return self.damaged(f"a tensor in the storage {escape(pending.storage.key)} {said}")

    def _origin(self, storage: Storage, view: View) -> Origin:
        plain = contiguous(view.shape, view.strides)
        return Origin(
            storage.name,
            storage.region.size if storage.region else storage.nbytes,
            view.start,
            None if plain else view.strides,
            file=self._file,
        )

    def _count(self, tensor: Tensor) -> None:
        """Keep what the file describes in proportion to what it holds."""
        self._logical += tensor.nbytes
        if self._logical > self.size * LOGICAL_FACTOR + LOGICAL_SLACK:
            raise self.damaged(
                f"describes more than {human(self._logical)} of tensors in a file of "
                f"{human(self.size)}"
            )

    def note(self, note: str) -> None:
        """Remember an oddity once."""
        if note not in self.notes:
            self.notes.append(note)


def read_claim(pid: Value, limits: Limits) -> Claim | str:
    """What a persistent id says of a storage, or one clause on why it is none."""
    if not isinstance(pid, tuple) or len(pid) not in (5, 6) or text(pid[0]) != "storage":
        return "a persistent id is not that of a storage"
    kind, key, location, numel = pid[1:5]
    if not isinstance(kind, Global):
        return "a storage has a type that is not a class"
    elements = CLASSES.get(kind.dotted)
    if elements is None:
        return f"{escape(kind.dotted)} is not a storage class"
    key = text(key)
    if not key or len(key) > limits.name_bytes:
        return "a storage has no usable key"
    if type(numel) is not int or not 0 <= numel < LARGEST // 16:
        return f"the storage {escape(key)} has a number of elements that cannot be"
    view = pid[5] if len(pid) == 6 else None
    return Claim(key, text(location), numel, elements, view)


def text(value: Value) -> str:
    """A string, also where Python 2 wrote it as bytes; empty for anything else."""
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else ""
