"""The ways in which GGUF stores the elements of a tensor: plain types, or blocks of few bits."""

from __future__ import annotations

from dataclasses import dataclass

from sfumato.containers.dtype import BF16, F16, F32, F64, I8, I16, I32, I64, DType


@dataclass(frozen=True, slots=True)
class Encoding:
    """One ggml type."""

    code: int
    """its number in the file"""
    name: str
    dtype: DType
    """what reading gives: the type itself, or F32 for blocks"""
    block: int = 1
    """elements that are stored together; rows are a multiple of it"""
    block_bytes: int = 0
    """bytes of one block"""
    decoded: bool = False
    """True for the block types whose numbers can be read"""

    @property
    def plain(self) -> bool:
        """True where elements are stored as they are."""
        return self.block == 1

    def nbytes(self, elements: int) -> int:
        """Bytes of so many elements, which are whole blocks."""
        return elements // self.block * self.block_bytes


def _plain(code: int, name: str, dtype: DType) -> Encoding:
    return Encoding(code, name, dtype, 1, dtype.bits // 8)


def _blocks(code: int, name: str, block: int, nbytes: int, *, decoded: bool = False) -> Encoding:
    return Encoding(code, name, F32, block, nbytes, decoded)


Q8_0 = _blocks(8, "Q8_0", 32, 34, decoded=True)

# Sizes from ggml-common.h; the numbers that are left out were given up by ggml.
ENCODINGS: tuple[Encoding, ...] = (
    _plain(0, "F32", F32),
    _plain(1, "F16", F16),
    _blocks(2, "Q4_0", 32, 18, decoded=True),
    _blocks(3, "Q4_1", 32, 20, decoded=True),
    _blocks(6, "Q5_0", 32, 22, decoded=True),
    _blocks(7, "Q5_1", 32, 24, decoded=True),
    Q8_0,
    _blocks(9, "Q8_1", 32, 36),
    _blocks(10, "Q2_K", 256, 84, decoded=True),
    _blocks(11, "Q3_K", 256, 110, decoded=True),
    _blocks(12, "Q4_K", 256, 144, decoded=True),
    _blocks(13, "Q5_K", 256, 176, decoded=True),
    _blocks(14, "Q6_K", 256, 210, decoded=True),
    _blocks(15, "Q8_K", 256, 292, decoded=True),
    _blocks(16, "IQ2_XXS", 256, 66),
    _blocks(17, "IQ2_XS", 256, 74),
    _blocks(18, "IQ3_XXS", 256, 98),
    _blocks(19, "IQ1_S", 256, 50),
    _blocks(20, "IQ4_NL", 32, 18),
    _blocks(21, "IQ3_S", 256, 110),
    _blocks(22, "IQ2_S", 256, 82),
    _blocks(23, "IQ4_XS", 256, 136),
    _plain(24, "I8", I8),
    _plain(25, "I16", I16),
    _plain(26, "I32", I32),
    _plain(27, "I64", I64),
    _plain(28, "F64", F64),
    _blocks(29, "IQ1_M", 256, 56),
    _plain(30, "BF16", BF16),
    _blocks(34, "TQ1_0", 256, 54),
    _blocks(35, "TQ2_0", 256, 66),
    _blocks(39, "MXFP4", 32, 17),
    _blocks(40, "NVFP4", 64, 36),
)

BY_CODE: dict[int, Encoding] = {encoding.code: encoding for encoding in ENCODINGS}

PLAIN: dict[DType, Encoding] = {e.dtype: e for e in ENCODINGS if e.plain}
"""how an element type is stored as it is"""
