"""A cast: the same tensor in another float type, converted piece by piece while it is read."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from sfumato.catalogue.verdict import Verdict
from sfumato.containers.dtype import BF16, F8_E4M3, F8_E5M2, F16, F32, F64, DType
from sfumato.containers.sizes import counted
from sfumato.containers.tensor import Buffer, Tensor, Tensors
from sfumato.errors import UsageError

CASTABLE = (F64, F32, F16, BF16, F8_E4M3, F8_E5M2)
"""types that hold one number per element; F8_E8M0 holds scales, F4 and F6 need them"""

ALIASES: dict[str, DType] = {
    **{dtype.name.lower(): dtype for dtype in CASTABLE},
    "fp64": F64,
    "float64": F64,
    "double": F64,
    "fp32": F32,
    "float32": F32,
    "float": F32,
    "full": F32,
    "fp16": F16,
    "float16": F16,
    "half": F16,
    "bfloat16": BF16,
    "fp8": F8_E4M3,
    "float8_e4m3fn": F8_E4M3,
    "f8_e4m3fn": F8_E4M3,
    "float8_e5m2": F8_E5M2,
}
"""what people call the types they cast to"""

NEVER = ("position_ids",)
"""endings of names that are never cast: merges that did have ruined many files"""


def dtype_named(text: str) -> DType:
    """The type that `text` names; raises UsageError with the nearest names."""
    found = ALIASES.get(text.lower())
    if found is None:
        near = difflib.get_close_matches(text.lower(), ALIASES, 3, 0.3) or ["f32", "f16", "bf16"]
        raise UsageError(f"{text}: is no type to cast to; nearest: {', '.join(near)}")
    return found


@dataclass(slots=True)
class Losses:
    """What casts cost, counted while the tensors are streamed."""

    infinite: dict[str, int] = field(default_factory=dict[str, int])
    """name → numbers that were finite and are not any more"""
    clipped: dict[str, int] = field(default_factory=dict[str, int])
    """name → numbers beyond the largest of a type without infinities, which they became"""
    flushed: dict[str, int] = field(default_factory=dict[str, int])
    """name → numbers that were not zero and are now"""

    def count(self, name: str, before: Buffer, after: Buffer, types: tuple[DType, DType]) -> None:
        """Compare a piece before and after its cast."""
        source, target = types
        if target == F8_E4M3 and (clipped := _clipped(before, source)):
            _add(self.clipped, name, clipped)
        # The narrower piece is looked at first: mostly there is nothing in it to explain.
        if infinite := _infinite(after, target):
            _add(self.infinite, name, infinite - _infinite(before, source))
        if flushed := _zeros(after, target):
            _add(self.flushed, name, flushed - _zeros(before, source))

    def forget(self, name: str) -> None:
        """A tensor is read from its start: what an earlier reading counted counts once."""
        for counts in (self.infinite, self.clipped, self.flushed):
            counts.pop(name, None)


def _add(counts: dict[str, int], name: str, count: int) -> None:
    if count > 0:
        counts[name] = counts.get(name, 0) + count


EXPONENTS: Mapping[DType, tuple[str, int, int]] = {
    F64: ("<u8", 0x7FF0000000000000, 0x7FFFFFFFFFFFFFFF),
    F32: ("<u4", 0x7F800000, 0x7FFFFFFF),
    F16: ("<u2", 0x7C00, 0x7FFF),
    BF16: ("<u2", 0x7F80, 0x7FFF),
    F8_E5M2: ("u1", 0x7C, 0x7F),
    F8_E4M3: ("u1", 0x7F, 0x7F),
}
"""type → its bits as an integer, the bits all set where not finite, all bits but the sign"""


def _infinite(buffer: Buffer, dtype: DType) -> int:
    import numpy as np

    carrier, exponent, _ = EXPONENTS[dtype]
    bits = np.frombuffer(buffer, carrier)
    return int(np.count_nonzero((bits & exponent) == exponent))


LARGEST = 464.0
"""halfway between F8_E4M3's largest number, 448, and what would be the next"""


def _clipped(buffer: Buffer, dtype: DType) -> int:
    import numpy as np

    from sfumato.containers.arrays import to_float32

    return int(np.count_nonzero(np.abs(to_float32(buffer, dtype)) > LARGEST))


def _zeros(buffer: Buffer, dtype: DType) -> int:
    import numpy as np

    carrier, _, unsigned = EXPONENTS[dtype]
    bits = np.frombuffer(buffer, carrier)
    return len(bits) - int(np.count_nonzero(bits & unsigned))


def narrower(source: DType, target: DType) -> bool:
    """True where the cast can lose something: a wider type, or one with other exponents."""
    exact = {
        (F16, F32), (F16, F64), (BF16, F32), (BF16, F64), (F32, F64),
        *((small, wide) for small in (F8_E4M3, F8_E5M2) for wide in (F16, BF16, F32, F64)),
    }  # fmt: skip
    return source != target and (source, target) not in exact


def castable(name: str, tensor: Tensor) -> bool:
    """True for floats that stand for themselves; integers and position ids are never cast."""
    return tensor.dtype in CASTABLE and not name.endswith(NEVER)


def cast(name: str, tensor: Tensor, dtype: DType, losses: Losses | None = None) -> Tensor:
    """`tensor` in another float type; itself where it has that type or may not be cast.

    Rounds to the nearest, ties to even. Numbers too large become infinite and are counted in
    `losses` when the result is read, as are numbers too small, which become zero.
    """
    if tensor.dtype == dtype or not castable(name, tensor):
        return tensor
    watch = losses if narrower(tensor.dtype, dtype) else None

    def convert(piece: Buffer) -> Buffer:
        from sfumato.containers.arrays import cast_chunk

        converted = cast_chunk(piece, tensor.dtype, dtype)
        if watch is not None:
            watch.count(name, piece, converted, (tensor.dtype, dtype))
        return converted

    def read() -> Buffer:
        if watch is not None:
            watch.forget(name)
        return convert(tensor.read())

    def pieces() -> Iterator[Buffer]:
        if watch is not None:
            watch.forget(name)
        return map(convert, tensor.chunks())

    return Tensor(dtype, tensor.shape, read, pieces)


def cast_all(
    tensors: Tensors, dtype: DType | None, losses: Losses, *, exempt: Collection[str] = ()
) -> dict[str, Tensor]:
    """Every tensor that may be cast, in `dtype`; all as they are where it is None."""
    if dtype is None:
        return dict(tensors)
    kept = set(exempt)
    return {
        name: tensor if name in kept else cast(name, tensor, dtype, losses)
        for name, tensor in tensors.items()
    }


UNTOUCHED = ("buffers", "optimizer", "training")
"""roles of parts that keep their types: a rounded schedule paints other pictures, and training does
not go on from a rounded optimizer"""


def untouched(verdict: Verdict) -> list[str]:
    """Names of the tensors that a cast of the whole model leaves alone."""
    return [name for part in verdict.parts if part.role in UNTOUCHED for name in part.names]


def casts(before: Tensors, after: Tensors) -> tuple[str, ...]:
    """One sentence per pair of types."""
    counts = Counter(
        (before[name].dtype.name, tensor.dtype.name)
        for name, tensor in after.items()
        if name in before and before[name].dtype != tensor.dtype
    )
    return tuple(
        f"{counted(n, 'tensor')} cast from {old} to {new}" for (old, new), n in counts.items()
    )
