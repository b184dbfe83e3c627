"""The element types a tensor can have, under their safetensors names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class DType:
    """One element type."""

    name: str
    """the safetensors name, such as F16"""
    bits: int
    """bits per element; four and six for the sub-byte floats"""
    kind: Literal["float", "int", "bool", "complex"]
    """what may be done with it: only floats are ever cast"""
    carrier: str
    """numpy dtype string that holds the raw bits, little-endian; equal to the type itself where
    numpy knows it, an unsigned integer where it does not (BF16, F8), bytes for sub-byte types"""

    def __str__(self) -> str:
        return self.name

    @property
    def native(self) -> bool:
        """True where numpy computes with this type directly."""
        return self.kind != "float" or self.carrier.startswith("<f")

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """Bytes that a contiguous tensor of this type and shape takes.

        Raises ValueError where a sub-byte type does not fill whole bytes.
        """
        bits = self.bits
        for size in shape:
            bits *= size
        if bits % 8:
            raise ValueError(f"{self.name} of shape {list(shape)} does not fill whole bytes")
        return bits // 8


# In ascending order of the rank by which the reference safetensors writer sorts (tensor.rs).
BOOL = DType("BOOL", 8, "bool", "?")
F4 = DType("F4", 4, "float", "u1")
F6_E2M3 = DType("F6_E2M3", 6, "float", "u1")
F6_E3M2 = DType("F6_E3M2", 6, "float", "u1")
U8 = DType("U8", 8, "int", "u1")
I8 = DType("I8", 8, "int", "i1")
F8_E5M2 = DType("F8_E5M2", 8, "float", "u1")
F8_E4M3 = DType("F8_E4M3", 8, "float", "u1")
F8_E8M0 = DType("F8_E8M0", 8, "float", "u1")
F8_E4M3FNUZ = DType("F8_E4M3FNUZ", 8, "float", "u1")
F8_E5M2FNUZ = DType("F8_E5M2FNUZ", 8, "float", "u1")
I16 = DType("I16", 16, "int", "<i2")
U16 = DType("U16", 16, "int", "<u2")
F16 = DType("F16", 16, "float", "<f2")
BF16 = DType("BF16", 16, "float", "<u2")
I32 = DType("I32", 32, "int", "<i4")
U32 = DType("U32", 32, "int", "<u4")
F32 = DType("F32", 32, "float", "<f4")
C64 = DType("C64", 64, "complex", "<c8")
F64 = DType("F64", 64, "float", "<f8")
I64 = DType("I64", 64, "int", "<i8")
U64 = DType("U64", 64, "int", "<u8")
C128 = DType("C128", 128, "complex", "<c16")
"""torch's ComplexDouble; safetensors has no name for it, so it can be read but not written there"""

SAFETENSORS_DTYPES: tuple[DType, ...] = (
    BOOL, F4, F6_E2M3, F6_E3M2, U8, I8, F8_E5M2, F8_E4M3, F8_E8M0, F8_E4M3FNUZ, F8_E5M2FNUZ,
    I16, U16, F16, BF16, I32, U32, F32, C64, F64, I64, U64,
)  # fmt: skip
"""all 22 types a safetensors header may name, in ascending rank"""

DTYPES: dict[str, DType] = {dtype.name: dtype for dtype in (*SAFETENSORS_DTYPES, C128)}
"""every known element type by its name"""
