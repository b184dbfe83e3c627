"""Changes of a weight that are products of small factors and do not depend on the weight itself.

Letters are those of the papers: o outputs, i inputs, r and s ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

Slots = Mapping[str, Tensor]
"""slot of a catalogue Suffix (down, up, w1_a …) → the module's tensor in it"""

Shape = tuple[int, ...]


def matrix(factor: Tensor) -> Tensor:
    """A factor as a matrix: convolutions as rows of all that one output is made of."""
    return factor.flatten(1) if factor.ndim > 2 else factor


def shaped(values: Tensor, shape: Shape) -> Tensor:
    """A change in the shape of its weight: 1×1 kernels come and go, sizes do not.

    Raises ValueError where outputs, or all that one output is made of, differ.
    """
    if values.shape[:1] != shape[:1] or values.numel() != prod(shape):
        raise ValueError(f"a change of {list(values.shape)} for a weight of {list(shape)}")
    return values.reshape(shape)


def tucker(core: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Σ core[r, s, …] first[o, r] second[s, i] → (o, i, …): a convolution by its Tucker factors."""
    return torch.einsum("rs...,or,si->oi...", core, matrix(first), matrix(second))


def lora(slots: Slots, shape: Shape) -> Tensor:
    """up · down (Hu et al. 2021, https://arxiv.org/abs/2106.09685); LoCon with CP where `mid` is.

    down (r, i, …), up (o, r, …), mid (r, r, k, k). The result has `shape`, not scaled.
    """
    up, down = slots["up"], slots["down"]
    if "mid" in slots:
        return shaped(tucker(slots["mid"], up, down), shape)
    return shaped(matrix(up) @ matrix(down), shape)


def loha(slots: Slots, shape: Shape) -> Tensor:
    """(w1_a w1_b) ∘ (w2_a w2_b), or the same of Tucker products (LyCORIS; FedPara, 2108.06098).

    w_a (o, r) and w_b (r, i …); with a core t (r, r, k, k), w_a is (r, o).
    """
    return shaped(_product(slots, "1"), shape) * shaped(_product(slots, "2"), shape)


def _product(slots: Slots, number: str) -> Tensor:
    """One of LoHa's two factors."""
    a, b = slots[f"w{number}_a"], slots[f"w{number}_b"]
    if f"t{number}" in slots:
        return tucker(slots[f"t{number}"], a.mT, b)
    return a @ matrix(b)


def lokr(slots: Slots, shape: Shape) -> Tensor:
    """w1 ⊗ w2, each factor whole or a product itself; w2 may have a Tucker core (LyCORIS)."""
    if "t2" in slots:
        w2 = tucker(slots["t2"], slots["w2_a"].mT, slots["w2_b"])
    else:
        w2 = _whole(slots, "w2")
    # An input's place is (place in w1, place in w2, place in the kernel): flattening keeps it.
    return shaped(torch.kron(_whole(slots, "w1"), matrix(w2)), shape)


def _whole(slots: Slots, name: str) -> Tensor:
    """A Kronecker factor, multiplied out."""
    if name in slots:
        return slots[name]
    return slots[f"{name}_a"] @ matrix(slots[f"{name}_b"])


def full(slots: Slots, shape: Shape) -> Tensor:
    """The difference itself, as the file has it."""
    return shaped(slots["diff"], shape)


def sparse(slots: Slots, shape: Shape) -> Tensor:
    """The few numbers that LyCORIS' first files add to a weight, spread over its `shape`.

    bias_indices (dimensions, n), bias_values (n), bias_size: the shape that is indexed; all on
    the CPU, and so is the result. Raises ValueError or IndexError for places outside the weight.
    """
    size = [int(length) for length in slots["bias_size"]]
    if prod(size) != prod(shape):
        raise ValueError(f"a sparse bias of {size} for a weight of {list(shape)}")
    spread = torch.zeros(size)
    spread[tuple(slots["bias_indices"].long())] = slots["bias_values"]
    return shaped(spread, shape)
