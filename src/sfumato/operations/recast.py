"""A whole model in another float type: scaled fp8 multiplied out, everything else cast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sfumato.catalogue.verdict import Verdict
from sfumato.containers.dtype import F8_E4M3, F8_E5M2, F32, DType
from sfumato.containers.sizes import counted
from sfumato.containers.tensor import Buffer, Tensor, Tensors
from sfumato.containers.text import escape
from sfumato.errors import Refused
from sfumato.operations.cast import Losses, cast_all, casts, untouched

FACTORS = (".scale_weight", ".weight_scale")
"""endings of the number that a layer's weights are to be multiplied by (ComfyUI, old and new)"""

BESIDE = (*FACTORS, ".scale_input", ".input_scale", ".comfy_quant")
"""endings of all that belongs to a scaled weight and says nothing without it"""

MARKER = "scaled_fp8"
"""last part of the name of the tensor that tells ComfyUI to look for scales"""

NARROW = (F8_E4M3, F8_E5M2)


@dataclass(frozen=True, slots=True)
class Recast:
    """A model in another float type, and what that took."""

    tensors: dict[str, Tensor]
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def recast(
    tensors: Tensors, dtype: DType | None, losses: Losses, verdict: Verdict, *, plain: bool = False
) -> Recast:
    """Every tensor that may be cast, in `dtype`; all as they are where it is None.

    Weights that are stored in fp8 with a scale are multiplied by it, and the scale goes: for wider
    types, and where `plain` numbers are asked for whatever `dtype` is. Otherwise, and where the
    scale is not a single number, weights and scales stay as they are.
    """
    whole = multiplied_out(tensors, dtype, plain=plain)
    kept = _scaled(whole.tensors)
    exempt = [*untouched(verdict), *kept, *(name for name in whole.tensors if _belongs(name))]
    cast = cast_all(whole.tensors, dtype, losses, exempt=exempt)
    changes = (*whole.changes, *casts(whole.tensors, cast))
    wrong = [name for name in kept if dtype not in (None, cast[name].dtype)]
    return Recast(cast, changes, tuple(_warnings(wrong)))


def multiplied_out(tensors: Tensors, dtype: DType | None, *, plain: bool = False) -> Recast:
    """The first half: fp8 with scales as F32 without, for a wider `dtype` or `plain` numbers."""
    wide = plain if dtype is None else dtype not in NARROW
    scaled = [name for name in _scaled(tensors) if wide and _simple(tensors, name)]
    if not scaled:
        return Recast(dict(tensors))
    count = counted(len(scaled), "scaled fp8 weight")
    return Recast(_multiplied(tensors, scaled), (f"{count} multiplied out",))


def _belongs(name: str) -> bool:
    return name.endswith(BESIDE) or name.rpartition(".")[2] == MARKER


def _scaled(tensors: Tensors) -> list[str]:
    """Names of the weights with a scale beside them."""
    heads = {name.removesuffix(end) for end in FACTORS for name in tensors if name.endswith(end)}
    return [f"{head}.weight" for head in sorted(heads) if f"{head}.weight" in tensors]


def _factor(tensors: Tensors, name: str) -> Tensor:
    head = name.removesuffix(".weight")
    return next(tensors[head + end] for end in FACTORS if head + end in tensors)


def _simple(tensors: Tensors, name: str) -> bool:
    """True for fp8 with one scale for the whole weight."""
    factor = _factor(tensors, name)
    return tensors[name].dtype in NARROW and factor.dtype == F32 and factor.size == 1


def _multiplied(tensors: Tensors, scaled: list[str]) -> dict[str, Tensor]:
    """The model without the scales of `scaled`; the marker goes with the last of them."""
    chosen = set(scaled)
    heads = {name.removesuffix(".weight") for name in scaled}
    gone = {head + end for head in heads for end in BESIDE}
    done = len(scaled) == len(_scaled(tensors))
    return {
        name: _product(name, tensor, _factor(tensors, name)) if name in chosen else tensor
        for name, tensor in tensors.items()
        if name not in gone and not (done and name.rpartition(".")[2] == MARKER)
    }


def _product(name: str, tensor: Tensor, factor: Tensor) -> Tensor:
    """The weight in F32, multiplied when it is read."""

    def multiply(piece: Buffer) -> Buffer:
        import numpy as np

        from sfumato.containers.arrays import to_float32

        scale = np.frombuffer(factor.read(), "<f4")[0]
        if not np.isfinite(scale):
            raise Refused(f"{escape(name)}: its scale is not a finite number")
        return (to_float32(piece, tensor.dtype) * scale).astype("<f4").tobytes()

    def pieces() -> Iterator[Buffer]:
        for piece in tensor.chunks():
            view = memoryview(piece)
            for start in range(0, len(view), STEP):
                yield multiply(view[start : start + STEP])

    return Tensor(F32, tensor.shape, lambda: multiply(tensor.read()), pieces)


STEP = 1 << 18
"""fp8 numbers that become one piece of F32"""


def _warnings(left: list[str]) -> Iterator[str]:
    if left:
        yield (
            f"{counted(len(left), 'scaled weight')} not cast: their numbers mean nothing without "
            "their scales"
        )
