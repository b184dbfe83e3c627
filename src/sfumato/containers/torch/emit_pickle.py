"""The pickle of a nested value with tensors, in the few opcodes that every torch reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import pack

from sfumato.containers.dtype import DType
from sfumato.containers.model_file import Key, Leaf, Tree
from sfumato.containers.tensor import Tensor
from sfumato.containers.torch.storage import NUMBERS
from sfumato.containers.torch.views import c_strides

TYPED: dict[DType, str] = {dtype: name for name, dtype in NUMBERS.items()}
"""element type → what stands before "Storage" in the name of its storage class"""

UNTYPED: dict[str, str] = {
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
}
"""element types without a storage class → torch's name; they lie in storages of bytes"""


def can_hold(dtype: DType) -> bool:
    """True where torch has a whole-byte type like this."""
    return dtype in TYPED or dtype.name in UNTYPED


@dataclass(slots=True)
class PickleText:
    """A pickle of protocol 2 that grows value by value, and the storages it speaks of."""

    out: bytearray = field(default_factory=lambda: bytearray(b"\x80\2"))
    storages: list[Tensor] = field(default_factory=list[Tensor])
    """the tensor that fills storage 0, 1, …"""
    _keys: dict[object, int] = field(default_factory=dict[object, int])
    _memo: dict[str, int] = field(default_factory=dict[str, int])

    def close(self) -> bytes:
        """The whole pickle; nothing may be added afterwards."""
        self.out += b"."
        return bytes(self.out)

    def add(self, value: Tree) -> None:
        """Append a nested value."""
        if isinstance(value, Tensor):
            self._tensor(value)
        elif isinstance(value, dict):
            self._dict(value)
        elif isinstance(value, list):
            self.out += b"]("
            for item in value:
                self.add(item)
            self.out += b"e"
        elif isinstance(value, tuple):
            self._tuple(value)
        else:
            self._leaf(value)

    def _dict(self, value: dict[Key, Tree]) -> None:
        """A dictionary of nothing but tensors is a state dict, which torch keeps in order."""
        if value and all(isinstance(item, Tensor) for item in value.values()):
            self._ordered_dict()
        else:
            self.out += b"}"
        self.out += b"("
        for key, item in value.items():
            self._leaf(key)
            self.add(item)
        self.out += b"u"

    def _ordered_dict(self) -> None:
        self._global("collections", "OrderedDict")
        self.out += b")R"

    def _tuple(self, value: tuple[Tree, ...]) -> None:
        self.out += b"("
        for item in value:
            self.add(item)
        self.out += b"t"

    def _leaf(self, value: Leaf) -> None:
        if value is None:
            self.out += b"N"
        elif isinstance(value, bool):
            self.out += b"\x88" if value else b"\x89"
        elif isinstance(value, int):
            self._int(value)
        elif isinstance(value, float):
            self.out += b"G" + pack(">d", value)
        elif isinstance(value, str):
            self._str(value)
        else:  # protocol 2 has no bytes; this is how pickle itself spells them
            self._global("_codecs", "encode")
            self.out += b"("
            self._str(value.decode("latin-1"))
            self._str("latin1")
            self.out += b"tR"

    def _int(self, value: int) -> None:
        if 0 <= value < 256:
            self.out += b"K" + pack("<B", value)
        elif -(2**31) <= value < 2**31:
            self.out += b"J" + pack("<i", value)
        else:
            raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            self.out += b"\x8a" + pack("<B", len(raw)) + raw

    def _str(self, value: str) -> None:
        raw = value.encode("utf-8", "surrogatepass")
        self.out += b"X" + pack("<I", len(raw)) + raw

    def _remembered(self, spelled: str) -> bool:
        """Recall something written before; False where it must be written now, and `_remember`."""
        number = self._memo.get(spelled)
        if number is None:
            return False
        self.out += b"h" + pack("<B", number)
        return True

    def _remember(self, spelled: str) -> None:
        self._memo[spelled] = len(self._memo)
        self.out += b"q" + pack("<B", self._memo[spelled])

    def _global(self, module: str, name: str) -> None:
        spelled = f"c{module}\n{name}\n"
        if not self._remembered(spelled):
            self.out += spelled.encode("ascii")
            self._remember(spelled)

    def _word(self, word: str) -> None:
        if not self._remembered(word):
            self._str(word)
            self._remember(word)

    def _tensor(self, tensor: Tensor) -> None:
        kind = TYPED.get(tensor.dtype)
        self._global("torch._utils", "_rebuild_tensor_v2" if kind else "_rebuild_tensor_v3")
        self.out += b"(("
        self._word("storage")
        if kind:
            self._global("torch", f"{kind}Storage")
        else:
            self._global("torch.storage", "UntypedStorage")
        self._str(str(self.key(tensor)))
        self._word("cpu")
        self._int(tensor.size if kind else tensor.nbytes)
        self.out += b"tQK\0"
        self._tuple(tensor.shape)
        self._tuple(c_strides(tensor.shape))
        self.out += b"\x89"
        self._ordered_dict()
        if not kind:
            self._global("torch", UNTYPED[tensor.dtype.name])
        self.out += b"tR"

    def key(self, tensor: Tensor) -> int:
        """The number of the tensor's storage; tied tensors share one."""
        known = tensor.origin is not None and tensor.origin.file
        identity = (tensor.origin, tensor.shape, tensor.dtype) if known else id(tensor)
        key = self._keys.setdefault(identity, len(self.storages))
        if key == len(self.storages):
            self.storages.append(tensor)
        return key
