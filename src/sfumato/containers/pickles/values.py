"""What the pickle machine builds: plain values, and lifeless descriptions of everything else.

Nothing here is ever compared, hashed or printed as a whole: a few bytes of pickle can describe a
value that takes longer to print than anyone lives. Records therefore compare by identity, and their
`repr` does not look inside.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Union

from sfumato.containers.dtype import DType

Key = str | int | float | bool | bytes | None
"""what a dictionary may be keyed by and a set may hold: hashing it takes no recursion"""


@dataclass(frozen=True, slots=True)
class Global:
    """A name the pickle asks to import: a token that leads nowhere."""

    module: str
    name: str

    @property
    def dotted(self) -> str:
        """Module and name as one, such as os.system; not escaped."""
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False, repr=False)
class Record:
    """A lifeless stand-in for the object that a call, or the making of an instance, would give."""

    origin: Global
    """what would have been called or made"""
    arguments: tuple[Value, ...] = ()
    state: Value = None
    """what BUILD would have handed to the object"""
    items: list[Value] = field(default_factory=list["Value"])
    """what would have been appended; (key, value) pairs for what would have been set by key"""

    def __repr__(self) -> str:
        return f"<record of {self.origin.name[:40]!a}>"


@dataclass(frozen=True, slots=True, eq=False)
class StorageRef:
    """A storage of elements that lies elsewhere in the container."""

    key: str
    dtype: DType | None
    """None for a storage of plain bytes"""
    location: str
    """where it was when it was saved: cpu, cuda:0 …"""
    numel: int
    """elements it is said to hold; bytes where there is no dtype"""
    where: str
    """the member or stream it was named in"""


@dataclass(frozen=True, slots=True, eq=False)
class PendingTensor:
    """A view of a storage, as the pickle describes it; whether it fits is not checked here."""

    storage: StorageRef
    offset: int
    """first element, counted in elements of `dtype`"""
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """in elements, as many as there are sizes; never negative"""
    dtype: DType


@dataclass(slots=True, eq=False, repr=False)
class NumpyDType:
    """A numpy element type as pickled: BUILD sets its byte order after it was made."""

    text: str
    """numpy's name, such as f8, U12 or V16, without byte order"""
    order: str = "<"
    plain: bool = True
    """False where it has fields, a sub-array or a unit"""


@dataclass(slots=True, eq=False, repr=False)
class NumpyArray:
    """A numpy array whose bytes stand in the pickle."""

    dtype: DType | None = None
    """None for what is not numbers: text, dates, records; `text` says what then"""
    shape: tuple[int, ...] = ()
    data: bytes = b""
    """little-endian; as many bytes as dtype and shape ask for"""
    fortran: bool = False
    """True where the first index runs fastest"""
    text: str = ""
    """numpy's name of the element type"""


class Parameters(dict[Key, "Value"]):
    """A torch ParameterDict: an ordinary dictionary that BUILD fills."""


Value = Union[
    Key,
    complex,
    bytearray,
    Global,
    Record,
    StorageRef,
    PendingTensor,
    NumpyDType,
    NumpyArray,
    "list[Value]",
    "tuple[Value, ...]",
    "dict[Key, Value]",
    "set[Key]",
    "frozenset[Key]",
]
"""anything that can lie on the machine's stack"""
